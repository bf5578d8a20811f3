//! What is refused, and in which words: the source, the value, the rule.

use crate::support::{run, turnstile};

/// What `config check` says about this file, with these variables and flags.
fn refused(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("node.toml"), file).unwrap();
    let mut command = turnstile(&["config", "check", "--config", "node.toml"]);
    let said = run(command.args(flags).envs(variables.iter().copied()).current_dir(directory.path()));
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{}", said.stderr);
    said.stderr.lines().map(|line| line.trim_start_matches("turnstile: ").to_owned()).collect()
}

#[test]
fn an_unknown_key_of_the_file_is_refused_with_the_likely_one() {
    let file = "memory = true\nshardz = 2\ncolour = \"red\"\n";
    let said = refused(file, &[], &[]);
    assert_eq!(said, ["node.toml: colour is not a setting", "node.toml: shardz is not a setting; did you mean shards?"]);
}

#[test]
fn an_unknown_variable_is_refused_with_the_likely_one() {
    let said = refused("memory = true", &[("TURNSTILE_SHARDZ", "2"), ("TURNSTILE_COLOUR", "red")], &[]);
    let colour = "TURNSTILE_COLOUR in the environment is not a setting";
    let shards = "TURNSTILE_SHARDZ in the environment is not a setting; did you mean TURNSTILE_SHARDS?";
    assert_eq!(said, [colour, shards]);
}

#[test]
fn every_value_that_breaks_its_rule_is_told_with_source_value_and_rule() {
    let file = "data = \"\"\nlisten = \"localhost:7878\"\nshards = 0\nmax_connections = \"5\"\nexpected_node = 17\nlog = [1]\n";
    let variables = [("TURNSTILE_MAX_WAITERS_PER_CONNECTION", "many"), ("TURNSTILE_LOG_FORMAT", "xml")];
    let flags = ["--max-in-flight", "-1", "--strict-limits=yes"];
    let filter = "off, error, warn, info, debug or trace, or a list such as \"info,openraft=debug\"";
    let expected = [
        "node.toml: listen is \"localhost:7878\"; it must be an IP address and a port, such as 127.0.0.1:7878 or [::1]:7878",
        "node.toml: data is \"\"; it must be the path of a directory",
        "node.toml: expected_node is 17; it must be the 16 hexadecimal digits of a node's id, in a file within quotes",
        "node.toml: shards is 0; it must be a whole number from 1 to 65535",
        "TURNSTILE_MAX_WAITERS_PER_CONNECTION is \"many\"; it must be a whole number from 1",
        "node.toml: max_connections is \"5\"; it must be a whole number from 1",
        "--max-in-flight is -1; it must be a whole number from 1",
        "--strict-limits is \"yes\"; it must be true or false",
        &format!("node.toml: log is a list; it must be {filter}"),
        "TURNSTILE_LOG_FORMAT is \"xml\"; it must be text or json",
    ];
    assert_eq!(refused(file, &variables, &flags), expected);
}

#[test]
fn a_misspelt_level_is_refused_instead_of_silencing_the_log() {
    for filter in ["inof", "info,debug", "openraft=", "=info", ""] {
        let said = refused("memory = true", &[], &["--log", filter]);
        assert!(said.len() == 1 && said[0].starts_with(&format!("--log is {filter:?}; it must be off, error")), "{said:?}");
    }
}

#[test]
fn where_the_log_is_kept_must_be_said_once() {
    let said = refused("", &[], &[]);
    assert!(said.len() == 1 && said[0].starts_with("nothing says where the log is kept; give --data DIRECTORY"), "{said:?}");
    let both = "--data and --memory are both given; the log is kept in a directory or in memory, not in both";
    assert_eq!(refused("", &[], &["--memory", "--data", "x"]), [both]);
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_line_and_column() {
    let said = refused("memory = true\nshards = \n", &[], &[]);
    assert!(said.len() == 1 && said[0].starts_with("node.toml, line 2, column 10: not TOML: "), "{said:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_refused_by_who_named_it() {
    let by_flag = run(&mut turnstile(&["config", "check", "--config", "/nowhere.toml"]));
    assert_eq!((by_flag.code, by_flag.stderr.lines().count()), (Some(2), 1), "{}", by_flag.stderr);
    assert!(by_flag.stderr.starts_with("turnstile: --config: cannot read /nowhere.toml: No such file"), "{}", by_flag.stderr);
    let by_variable = run(turnstile(&["config", "check", "--memory"]).env("TURNSTILE_CONFIG", "/nowhere.toml"));
    assert!(by_variable.stderr.starts_with("turnstile: TURNSTILE_CONFIG: cannot read"), "{}", by_variable.stderr);
}

#[test]
fn a_node_with_wrong_settings_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let said = run(turnstile(&["node", "--shards", "0", "--data"]).arg(&data));
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert_eq!(said.stderr, "turnstile: --shards is 0; it must be a whole number from 1 to 65535\n");
    assert!(!data.exists());
}
