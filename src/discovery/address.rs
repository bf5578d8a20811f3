//! Addresses of nodes as people write them: a host and a port.

/// The host and the port, from 1, of `10.0.0.1:7878`, `node-1:7878` or `[::1]:7878`; `None` for any other text. The host keeps its brackets.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port != 0)?;
    is_host.then_some((host, port))
}

/// Whether `text` has what a name has.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_part)
}

/// Whether a name server can be asked about `text`: labels of 1 to 63 bytes, with or without a dot behind the last.
pub(super) fn can_be_looked_up(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    is_name(labels) && labels.split('.').all(|label| (1..=63).contains(&label.len()))
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

    #[test]
    fn a_name_that_can_be_looked_up_has_labels_of_some_length() {
        let longest = "a".repeat(63);
        for name in ["a", "a.", "_turnstile._tcp.example", "10.0.0.1", longest.as_str()] {
            assert!(can_be_looked_up(name), "{name:?}");
        }
        let longer = "a".repeat(64);
        for name in ["", ".", "a..", "a..b", ".a", "a b", "a:1", "[::1]", longer.as_str()] {
            assert!(!can_be_looked_up(name), "{name:?}");
        }
    }
}
