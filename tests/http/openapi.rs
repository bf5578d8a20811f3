//! The OpenAPI file against the server, by schemathesis; `make test` sets it up.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::nodes::Process;

#[test]
fn the_server_does_what_its_description_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemathesis = root.join("target/schemathesis/bin/schemathesis");
    if !schemathesis.exists() {
        println!("SKIPPED: make schemathesis installs what reads the description");
        return;
    }
    let (node, scratch) = (Process::alone(), tempfile::tempdir().unwrap());
    let mut run = Command::new(schemathesis);
    run.current_dir(scratch.path()).stdin(Stdio::null());
    run.env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", root.join("tests/http"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run.arg("--config-file")
        .arg(root.join("tests/http/schemathesis.toml"))
        .arg("run")
        .arg(root.join("src/api/http/openapi.json"));
    run.args(["--url", &format!("http://{}", node.address), "--max-examples", "20", "--seed", "1", "--request-timeout", "10"]);
    run.args(["--generation-database", "none", "--no-color"]);
    let said = run.output().unwrap();
    assert!(said.status.success(), "{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
}
