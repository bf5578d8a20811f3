//! Where nodes are looked for: what a name server of our own says, and what it keeps to itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use turnstile::{Discovery, Found, PeerSource, Trouble};

use crate::name_server::{AAAA, NameServer, Record, at, service};

fn source(text: &str) -> PeerSource {
    text.parse().unwrap()
}

fn discovery(server: &NameServer, sources: &[&str]) -> Discovery {
    Discovery::new(sources.iter().copied().map(source).collect(), Some(server.address()))
}

/// As a node looks: in a task.
async fn look(server: &NameServer, sources: &[&str]) -> Found {
    let discovery = discovery(server, sources);
    tokio::spawn(async move { discovery.look().await }).await.unwrap()
}

fn addresses(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().copied().map(str::to_owned).collect()
}

fn trouble(text: &str, reason: &str) -> Trouble {
    Trouble { source: source(text), reason: reason.to_owned() }
}

#[tokio::test]
async fn a_name_is_all_its_addresses_of_both_kinds() {
    let server = NameServer::start();
    server.say("workers.example", at(&["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"]));
    server.say("one", at(&["fd00::3"]));
    let found = look(&server, &["dns:workers.example:7978", "dns:one.:1"]).await;
    let expected = addresses(&["10.0.0.1:7978", "10.0.0.2:7978", "[fd00::1]:7978", "[fd00::2]:7978", "[fd00::3]:1"]);
    assert_eq!(found, Found { addresses: expected, troubles: Vec::new() });
}

#[tokio::test]
async fn a_service_is_all_addresses_of_its_targets_each_with_its_port() {
    let server = NameServer::start();
    server.say("_turnstile._tcp.example", [service("a.example", 7978), service("b.example", 7979), service("b.example", 7980)]);
    server.say("a.example", at(&["10.0.0.1", "fd00::1"]));
    server.say("b.example", at(&["10.0.0.2"]));
    let found = look(&server, &["srv:_turnstile._tcp.example"]).await;
    let expected = addresses(&["10.0.0.1:7978", "[fd00::1]:7978", "10.0.0.2:7979", "10.0.0.2:7980"]);
    assert_eq!(found, Found { addresses: expected, troubles: Vec::new() });
}

#[tokio::test]
async fn what_is_not_there_is_told_and_hides_nothing_else() {
    let server = NameServer::start();
    server.say("workers.example", at(&["10.0.0.1"]));
    server.say("services.example", [service("gone.example", 1), service("workers.example", 2)]);
    let sources = ["node-1:7978", "dns:gone.example:1", "srv:gone.example", "srv:workers.example", "srv:services.example"];
    let found = look(&server, &[sources.as_slice(), &["dns:services.example:1", "dns:workers.example:3"]].concat()).await;
    let troubles = [
        trouble("dns:gone.example:1", "there is no such name"),
        trouble("srv:gone.example", "there is no such name"),
        trouble("srv:workers.example", "the name has no SRV records"),
        trouble("srv:services.example", "its target gone.example.: there is no such name"),
        trouble("dns:services.example:1", "the name has no addresses"),
    ];
    let expected = addresses(&["node-1:7978", "10.0.0.1:2", "10.0.0.1:3"]);
    assert_eq!(found, Found { addresses: expected, troubles: troubles.into() });
}

#[tokio::test]
async fn a_name_server_that_is_silent_costs_four_seconds_at_most_and_hides_nothing_else() {
    let server = NameServer::start();
    server.say("workers.example", at(&["10.0.0.1"]));
    server.say("services.example", [service("silent.example", 1), service("workers.example", 2)]);
    server.keep_silent_about("silent.example");
    let began = Instant::now();
    let sources = ["node-1:7978", "dns:silent.example:1", "srv:silent.example", "srv:services.example", "dns:workers.example:3"];
    let found = look(&server, &sources).await;
    let silent = "no name server has answered within 2s";
    let troubles = [
        trouble("dns:silent.example:1", silent),
        trouble("srv:silent.example", silent),
        trouble("srv:services.example", &format!("its target silent.example.: {silent}")),
    ];
    let expected = addresses(&["node-1:7978", "10.0.0.1:2", "10.0.0.1:3"]);
    assert_eq!(found, Found { addresses: expected, troubles: troubles.into() });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn addresses_of_one_kind_are_found_though_nothing_is_said_about_the_other() {
    let server = NameServer::start();
    server.say("workers.example", at(&["10.0.0.1"]).into_iter().chain([Record::Silence(AAAA)]));
    let found = look(&server, &["dns:workers.example:1"]).await;
    assert_eq!(found, Found { addresses: addresses(&["10.0.0.1:1"]), troubles: Vec::new() });
}

#[tokio::test]
async fn a_look_finds_what_holds_now_however_long_it_might_be_remembered() {
    let server = NameServer::start();
    let discovery = discovery(&server, &["dns:workers.example:1"]);
    assert_eq!(discovery.look().await.troubles, [trouble("dns:workers.example:1", "there is no such name")]);
    server.say("workers.example", at(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!(discovery.look().await.addresses, addresses(&["10.0.0.1:1", "10.0.0.2:1"]));
    server.say("workers.example", at(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(discovery.look().await.addresses, addresses(&["10.0.0.2:1", "10.0.0.3:1"]));
}

#[tokio::test]
async fn of_too_many_addresses_the_same_ones_are_taken_and_that_is_told() {
    let server = NameServer::start();
    let names: Vec<String> = (0..20).map(|index| format!("node-{index}.example")).collect();
    for (third, name) in (0..).zip(&names) {
        server.say(name, (0..20).map(|last| Record::Address(IpAddr::V4(Ipv4Addr::new(10, 0, third, last)))));
    }
    let services = |names: &[String]| names.iter().map(|name| service(name, 1)).collect::<Vec<_>>();
    server.say("workers.example", services(&names));
    let found = look(&server, &["srv:workers.example"]).await;
    assert_eq!(found.addresses.len(), 256);
    assert_eq!(found.troubles, [trouble("srv:workers.example", "it has 400 addresses, of which 256 are taken")]);
    let in_another_order: Vec<String> = names.into_iter().rev().collect();
    server.say("workers.example", services(&in_another_order));
    assert_eq!(look(&server, &["srv:workers.example"]).await, found);
}

#[tokio::test]
async fn addresses_are_found_as_they_were_said_and_nobody_is_asked() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let said = ["10.0.0.1:7978", "Node-1:7978", "[::1]:7978"];
    let found = Discovery::new(said.map(source).into(), Some(nobody.local_addr().unwrap())).look().await;
    assert_eq!(found, Found { addresses: addresses(&said), troubles: Vec::new() });
    nobody.set_nonblocking(true).unwrap();
    assert!(nobody.recv(&mut [0; 512]).is_err());
}
