//! Which of the four sources holds, and what `config show` says about it.

use std::path::Path;

use serde_json::Value;

use crate::support::{run, turnstile};

fn shown(command: &mut std::process::Command) -> Value {
    let said = run(command);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&said.stdout).unwrap()
}

#[test]
fn a_flag_overrules_the_environment_which_overrules_the_file_which_overrules_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "memory = true\nshards = 2\nmax_connections = 2\nmax_in_flight = 2\n").unwrap();
    let file = file.to_str().unwrap();
    let mut command = turnstile(&["config", "show", "--json", "--max-in-flight", "4", "--config", file]);
    let shown = shown(command.env("TURNSTILE_MAX_CONNECTIONS", "3").env("TURNSTILE_MAX_IN_FLIGHT", "3"));
    assert_eq!(shown["max_waiters_per_connection"], serde_json::json!({ "value": 100_000, "source": "default" }));
    assert_eq!(shown["shards"], serde_json::json!({ "value": 2, "source": "file", "name": file }));
    let variable = serde_json::json!({ "value": 3, "source": "environment", "name": "TURNSTILE_MAX_CONNECTIONS" });
    assert_eq!(shown["max_connections"], variable);
    assert_eq!(shown["max_in_flight"], serde_json::json!({ "value": 4, "source": "flag", "name": "--max-in-flight" }));
}

#[test]
fn the_table_names_the_source_of_each_setting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "data = \"/var/lib/turnstile\"\n").unwrap();
    let mut command = turnstile(&["config", "show", "--log", "warn"]);
    let said = run(command.env("TURNSTILE_CONFIG", &file).env("TURNSTILE_SHARDS", "3"));
    let row = |key: &str| {
        let line = said.stdout.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("listen"), "listen 127.0.0.1:7878 default");
    assert_eq!(row("data"), format!("data /var/lib/turnstile file {}", file.display()));
    assert_eq!(row("shards"), "shards 3 environment TURNSTILE_SHARDS");
    assert_eq!(row("log"), "log warn flag --log");
    assert_eq!(row("expected_node"), "expected_node - default");
    assert_eq!(row("peers"), "peers - default");
    assert_eq!(row("enable_fault_injection"), "enable_fault_injection false default");
    assert_eq!(said.code, Some(0));
}

#[test]
fn the_flag_names_the_file_rather_than_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "memory = true\nshards = 7\n").unwrap();
    let mut command = turnstile(&["config", "show", "--json", "--config", file.to_str().unwrap()]);
    assert_eq!(shown(command.env("TURNSTILE_CONFIG", "/nowhere"))["shards"]["value"], 7);
}

#[test]
fn the_stronger_of_directory_and_memory_holds() {
    let both = |words: &[&str], variable: (&str, &str)| shown(turnstile(words).env(variable.0, variable.1));
    let memory = both(&["config", "show", "--json", "--memory"], ("TURNSTILE_DATA", "/data"));
    assert_eq!((&memory["data"]["overruled_by"], &memory["memory"]["overruled_by"]), (&"--memory".into(), &Value::Null));
    let data = both(&["config", "show", "--json", "--data", "/data"], ("TURNSTILE_MEMORY", "true"));
    assert_eq!((&data["memory"]["overruled_by"], &data["data"]["overruled_by"]), (&"--data".into(), &Value::Null));
}

#[test]
fn digits_in_the_environment_stay_the_id_that_they_are() {
    let mut command = turnstile(&["config", "show", "--json", "--data", "/data"]);
    let shown = shown(command.env("TURNSTILE_EXPECTED_NODE", "00000000000000e5"));
    assert_eq!(shown["expected_node"]["value"], "00000000000000e5");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_of_our_name_are_no_settings() {
    let mut command = turnstile(&["config", "check", "--memory"]);
    command.env("TURNSTILE_SERVICE_HOST", "10.0.0.1").env("TURNSTILE_SERVICE_PORT_GRPC", "7878");
    command.env("TURNSTILE_PORT", "tcp://10.0.0.1:7878").env("TURNSTILE_PORT_7878_TCP_ADDR", "10.0.0.1");
    let said = run(&mut command);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "ok\n", ""));
}

#[test]
fn the_example_in_deploy_is_valid_and_names_every_setting() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/turnstile.toml");
    let said = run(turnstile(&["config", "check", "--config"]).arg(&example));
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "ok\n", ""));
    let text = std::fs::read_to_string(&example).unwrap();
    let settings = shown(&mut turnstile(&["config", "show", "--json", "--memory"]));
    for key in settings.as_object().unwrap().keys() {
        let is_named = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(is_named, "{key} is missing");
    }
}
