//! What the help says.

use serde_json::Value;

use crate::support::{run, turnstile};

#[test]
fn the_help_names_every_setting_its_default_and_its_sources() {
    let help = run(&mut turnstile(&["node", "--help"]));
    assert_eq!(help.code, Some(0));
    let shown = run(&mut turnstile(&["config", "show", "--json", "--memory"]));
    let settings: Value = serde_json::from_str(&shown.stdout).unwrap();
    let words = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for (key, row) in settings.as_object().unwrap() {
        assert!(words.contains(&format!("--{}", key.replace('_', "-"))), "{key}\n{}", help.stdout);
        // Most without a value have none, one depends on the machine, one was given here.
        if row["source"] == "default" && !row["value"].is_null() && key != "shards" {
            let default = row["value"].to_string();
            let default = default.trim_matches('"');
            assert!(words.contains(&format!("default: {default}")), "{key}: {default}\n{}", help.stdout);
        }
    }
    for source in ["TURNSTILE_SHARDS=4", "TURNSTILE_CONFIG", "shards = 4", "turnstile config show"] {
        assert!(words.contains(source), "{source}\n{}", help.stdout);
    }
}

#[test]
fn the_front_page_names_the_subcommands() {
    let help = run(&mut turnstile(&["--help"])).stdout;
    for line in [
        "Call through it:",
        "node          Run one node",
        "acquire       Wait for a slot",
        "try           Take a slot",
        "exec          Wait for a slot and run a command",
        "explain       Show how a request stands",
        "top           Watch",
        "connections   Show the busiest",
        "queue         Show one connection",
        "limits        Set, show and delete",
        "pause         Let nothing through",
        "resume        End a pause",
        "penalize      Let nothing through",
        "load          Load nodes",
        "completions   Print what a shell",
        "config        Look at the settings",
        "status        Show how",
        "recover       Make a new cluster",
        "refuse-peers  Fault injection",
        "algorithms    Show when",
        "demo          Saturate",
    ] {
        assert!(help.contains(line), "{help}");
    }
    assert!(!help.contains("platform "), "{help}");
    let places: Vec<usize> = ["Run a node:", "Call through it:", "Operate a cluster:", "Try it out:", "Options:"]
        .map(|heading| help.find(heading).unwrap_or_else(|| panic!("{heading}: {help}")))
        .into();
    assert!(places.is_sorted(), "{help}");
}

#[test]
fn every_shell_gets_completions_without_the_hidden_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(&mut turnstile(&["completions", shell]));
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(said.stdout.contains("acquire") && said.stdout.contains("max-wait"), "{shell}");
        assert!(!said.stdout.contains("Be one of the demo") && !said.stdout.contains("Emulate rate-limited"), "{shell}");
        assert!(!said.stdout.contains("turnstile__worker") && !said.stdout.contains("turnstile__subcmd__worker"), "{shell}");
    }
    let unknown = run(&mut turnstile(&["completions", "tcsh"]));
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("'tcsh'"), "{}", unknown.stderr);
}
