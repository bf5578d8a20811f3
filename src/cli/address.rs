//! Addresses of nodes as people write them: a host and a port.

/// The variable with the public addresses of the nodes to ask, separated by commas: for the commands that ask nodes, and no setting of one.
pub(crate) const NODES_VARIABLE: &str = "TURNSTILE_NODES";

/// The host and the port, from 1, of `10.0.0.1:7878`, `node-1:7878` or `[::1]:7878`; `None` for any other text. The host keeps its brackets.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_name = |host: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !host.is_empty() && host.len() <= 253 && host.bytes().all(is_part)
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port != 0)?;
    is_host.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (text, host, port) in
            [("10.0.0.1:7878", "10.0.0.1", 7878), ("node-1.local:1", "node-1.local", 1), ("[::1]:65535", "[::1]", 65535)]
        {
            assert_eq!(host_and_port(text), Some((host, port)));
        }
    }

    #[test]
    fn whatever_else_is_no_address() {
        for text in
            ["", "node", ":1", "node:", "node:0", "node:65536", "node:+1", "::1:7878", "[node]:1", "a b:1", "http://a:1", "a/b:1"]
        {
            assert_eq!(host_and_port(text), None, "{text:?}");
        }
    }
}
