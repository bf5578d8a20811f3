//! The settings of a cluster: what they come to, and what is refused.

use serde_json::{Value, json};

use crate::support::{run, turnstile};

fn checked(flags: &[&str]) -> (Option<i32>, Vec<String>) {
    let said = run(turnstile(&["config", "check", "--memory"]).args(flags));
    (said.code, said.stderr.lines().map(|line| line.trim_start_matches("turnstile: ").to_owned()).collect())
}

fn refused(flags: &[&str]) -> Vec<String> {
    let (code, said) = checked(flags);
    assert_eq!(code, Some(2), "{flags:?}");
    said
}

fn shown(flags: &[&str]) -> Value {
    let said = run(turnstile(&["config", "show", "--json", "--memory"]).args(flags));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{flags:?}");
    serde_json::from_str(&said.stdout).unwrap()
}

const LISTEN: &str = "--peer-listen=10.0.0.1:7978";
const THREE: &str = "--peers=10.0.0.1:7978,10.0.0.2:7978,10.0.0.3:7978";

#[test]
fn a_flag_overrules_the_environment_which_overrules_the_list_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    let text = "memory = true\npeer_listen = \"10.0.0.1:1\"\npeers = [\"10.0.0.2:1\", \"10.0.0.3:1\"]\nexpect = 3\nenable_fault_injection = true\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let show = |variable: Option<&str>, flags: &[&str]| -> Value {
        let mut command = turnstile(&["config", "show", "--json", "--config", file]);
        let said = run(command.args(flags).envs(variable.map(|peers| ("TURNSTILE_PEERS", peers))));
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        serde_json::from_str(&said.stdout).unwrap()
    };
    let by_file = show(None, &[]);
    assert_eq!(by_file["peers"], json!({ "value": ["10.0.0.2:1", "10.0.0.3:1"], "source": "file", "name": file }));
    assert_eq!(by_file["expect"], json!({ "value": 3, "source": "file", "name": file }));
    assert_eq!(by_file["enable_fault_injection"]["value"], true);
    let variable = Some("10.0.0.4:1, 10.0.0.5:1");
    let by_variable = show(variable, &[]);
    assert_eq!(by_variable["peers"]["value"], "10.0.0.4:1, 10.0.0.5:1");
    assert_eq!(by_variable["peers"]["name"], "TURNSTILE_PEERS");
    let by_flag = show(variable, &["--peers", "10.0.0.6:1,10.0.0.7:1", "--enable-fault-injection=false"]);
    assert_eq!(by_flag["peers"]["value"], "10.0.0.6:1,10.0.0.7:1");
    assert_eq!(
        by_flag["enable_fault_injection"],
        json!({ "value": false, "source": "flag", "name": "--enable-fault-injection" })
    );
}

#[test]
fn all_nodes_are_expected_whether_the_list_has_this_one_or_not() {
    assert_eq!(shown(&[])["expect"], json!({ "value": null, "source": "default" }));
    assert_eq!(shown(&[LISTEN, THREE])["expect"], json!({ "value": 3, "source": "default" }));
    assert_eq!(shown(&[LISTEN, "--peers=10.0.0.2:7978,10.0.0.3:7978"])["expect"]["value"], 3);
    assert_eq!(shown(&[LISTEN, THREE, "--expect=2"])["expect"], json!({ "value": 2, "source": "flag", "name": "--expect" }));
}

#[test]
fn what_a_cluster_needs_is_asked_for() {
    assert_eq!(refused(&[THREE]), ["--peers is given, but not where they reach this node; give --peer-listen ADDRESS:PORT"]);
    let no_peers = "is given, but no peers; give --peers HOST:PORT,…, or leave it out for a node by itself";
    assert_eq!(refused(&[LISTEN]), [format!("--peer-listen {no_peers}")]);
    assert_eq!(refused(&["--expect=3"]), [format!("--expect {no_peers}")]);
    assert_eq!(refused(&["--nameserver=127.0.0.1:8600"]), [format!("--nameserver {no_peers}")]);
    assert_eq!(refused(&["--cold-start-hold=0s"]), [format!("--cold-start-hold {no_peers}")]);
}

#[test]
fn an_entry_that_is_none_and_one_that_comes_twice_are_named() {
    let each = "each must be HOST:PORT, dns:NAME:PORT or srv:NAME, such as 10.0.0.1:7978, [::1]:7978, dns:workers.example:7978 or \
                srv:_turnstile._tcp.example, the port from 1";
    let said = refused(&[LISTEN, "--peers=node-1,b:0,c:1,C:1,c:1,,dns:workers,srv:,srv:workers,SRV:workers,srv:Workers"]);
    let wrong = ["node-1", "b:0", "", "dns:workers", "srv:", "SRV:workers"].map(|entry| format!("--peers has {entry:?}; {each}"));
    let twice = [("c:1", 3), ("srv:workers", 2)]
        .map(|(entry, count)| format!("--peers has {entry:?} {count} times; each node is named once"));
    let expected = [wrong.as_slice(), twice.as_slice()].concat();
    assert_eq!(said, expected);
    let rule = "it must be an IP address and a port from 1, such as 10.0.0.1:7978 or [::1]:7978";
    assert_eq!(refused(&["--peer-listen=10.0.0.1:0", THREE]), [format!("--peer-listen is \"10.0.0.1:0\"; {rule}")]);
    assert!(refused(&[LISTEN, "--peers="])[0].starts_with("--peers is \"\"; it must be at least one place to look for nodes"));
}

#[test]
fn fewer_than_a_majority_and_more_than_all_are_refused_with_both_numbers() {
    let larger = "--expect is 4, larger than the list: --peers comes to 3";
    assert_eq!(refused(&[LISTEN, THREE, "--expect=4"]), [larger]);
    let with_this = format!("{larger}, this node counted");
    assert_eq!(refused(&[LISTEN, "--peers=10.0.0.2:7978,10.0.0.3:7978", "--expect=4"]), [with_this]);
    let half = |expect, nodes, least| {
        format!(
            "--expect is {expect}; it must be more than half of {nodes} nodes, or two clusters could come of them: {least} to {nodes}"
        )
    };
    assert_eq!(refused(&[LISTEN, THREE, "--expect=1"]), [half(1, 3, 2)]);
    assert_eq!(refused(&[LISTEN, "--peers=10.0.0.2:1,10.0.0.3:1,10.0.0.4:1", "--expect=2"]), [half(2, 4, 3)]);
    assert_eq!(refused(&[LISTEN, THREE, "--expect=0"]), ["--expect is 0; it must be a whole number from 1"]);
}

#[test]
fn a_list_that_may_or_may_not_have_the_node_itself_needs_a_number() {
    for (listen, peers) in
        [("--peer-listen=0.0.0.0:7978", "--peers=10.0.0.1:7978,10.0.0.2:7978"), (LISTEN, "--peers=node-1:7978,node-2:7978")]
    {
        let said = refused(&[listen, peers]);
        assert!(
            said.len() == 1 && said[0].starts_with("nothing says how many nodes found the cluster, and --peer-listen ("),
            "{said:?}"
        );
        assert!(said[0].ends_with("give --expect COUNT: the number of all nodes is safe"), "{said:?}");
        assert_eq!(checked(&[listen, peers, "--expect=2"]).0, Some(0));
        assert_eq!(checked(&[listen, peers, "--expect=3"]).0, Some(0));
        assert_eq!(refused(&[listen, peers, "--expect=4"]).len(), 1);
    }
}

#[test]
fn names_are_looked_up_and_of_them_nobody_knows_the_number() {
    let names = "--peers=10.0.0.1:7978,dns:workers.example:7978,srv:workers.service.consul";
    let unstated = "nothing says how many nodes found the cluster, and --peers has dns:workers.example:7978, which does not tell; \
                    give --expect COUNT: more than half of the nodes that may start together";
    assert_eq!(refused(&[LISTEN, names]), [unstated]);
    let stated = shown(&[LISTEN, names, "--expect=17", "--nameserver=127.0.0.1:8600"]);
    assert_eq!(stated["expect"]["value"], 17);
    assert_eq!(stated["nameserver"], json!({ "value": "127.0.0.1:8600", "source": "flag", "name": "--nameserver" }));
    assert_eq!(shown(&[LISTEN, names, "--expect=1"])["nameserver"], json!({ "value": null, "source": "default" }));
}

#[test]
fn a_name_server_has_an_address_a_port_and_something_to_be_asked() {
    let names = [LISTEN, "--peers=dns:workers.example:7978", "--expect=2"];
    let rule = "it must be an IP address and a port from 1, such as 127.0.0.1:8600 or [::1]:53";
    for wrong in ["127.0.0.1", "127.0.0.1:0", "consul:8600"] {
        let flag = format!("--nameserver={wrong}");
        let said = refused(&[names.as_slice(), &[flag.as_str()]].concat());
        assert_eq!(said, [format!("--nameserver is {wrong:?}; {rule}")]);
    }
    let nothing = "--nameserver is given, but --peers has no name to look up; write dns:NAME:PORT or srv:NAME, or leave it out";
    assert_eq!(refused(&[LISTEN, THREE, "--nameserver=127.0.0.1:8600"]), [nothing]);
}

#[test]
fn how_long_a_new_cluster_holds_back_is_a_number_with_its_unit() {
    assert_eq!(shown(&[LISTEN, THREE])["cold_start_hold"], json!({ "value": "60s", "source": "default" }));
    for span in ["0s", "1500ms", "2m", "1h"] {
        let flag = format!("--cold-start-hold={span}");
        assert_eq!(shown(&[LISTEN, THREE, &flag])["cold_start_hold"]["value"], span);
    }
    for span in ["", "60", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999s", "18446744073709551615h"] {
        let rule = "it must be a whole number and its unit (ms, s, m or h), such as \"60s\", in a file within quotes";
        let said = refused(&[LISTEN, THREE, &format!("--cold-start-hold={span}")]);
        assert_eq!(said, [format!("--cold-start-hold is {span:?}; {rule}")]);
    }
}

#[test]
fn where_a_node_is_reached_may_be_another_place_than_where_it_listens() {
    let stated = shown(&[LISTEN, THREE, "--peer-advertise=node-1.example:17978"]);
    assert_eq!(
        stated["peer_advertise"],
        json!({ "value": "node-1.example:17978", "source": "flag", "name": "--peer-advertise" })
    );
    assert_eq!(shown(&[LISTEN, THREE])["peer_advertise"], json!({ "value": null, "source": "default" }));
    // A list that has it has this node.
    let advertised = ["--peer-listen=0.0.0.0:1", "--peers=a:7978,b:7978", "--peer-advertise=a:7978"];
    assert_eq!(shown(&advertised)["expect"]["value"], 2);
    for wrong in ["node-1", "node-1:0", ":7978", "http://node-1:7978"] {
        let rule = "it must be a host and a port from 1, such as 203.0.113.7:7978 or node-1.example:7978";
        let said = refused(&[LISTEN, THREE, &format!("--peer-advertise={wrong}")]);
        assert_eq!(said, [format!("--peer-advertise is {wrong:?}; {rule}")]);
    }
}
