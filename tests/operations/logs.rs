//! The log as JSON: that each line is one, and that what happens to a cluster is told once, and calls are not.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::client::{HOUR, acquire, client, eventually, get, soon, trying};
use crate::process::Cluster;

/// An object without a name that is there twice.
struct Line(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.insert(name.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("{name} is there twice")));
                    }
                }
                Ok(Line(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Line {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.0.contains_key(*name))
    }
}

/// Everything a node has logged, each line of which must be what it should be.
fn lines(cluster: &Cluster, index: usize) -> Vec<Line> {
    let logged = cluster.logged(index);
    let parse = |line: &str| {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for name in ["timestamp", "level", "target", "message"] {
            assert!(!line.text(name).is_empty(), "{name}: {:?}", line.0);
        }
        line
    };
    logged.lines().map(parse).collect()
}

/// Those that begin like this.
fn about<'a>(lines: &'a [Line], message: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.text("message").starts_with(message)).collect()
}

#[tokio::test]
async fn each_line_is_an_object_and_tells_what_happened_to_the_cluster_once_and_nothing_of_single_calls() {
    let mut cluster = Cluster::started(3).await;
    let first = cluster.addresses[0];
    let mut caller = client(first).await;
    for name in 0..30 {
        for count in [2, 3] {
            soon(caller.try_acquire(trying(acquire(&format!("connection {name}"), count, HOUR)))).await.unwrap();
        }
    }
    let before: usize = (0..3).map(|index| lines(&cluster, index).len()).sum();
    for call in 0..300 {
        let name = format!("connection {}", call % 30);
        soon(caller.try_acquire(trying(acquire(&name, 2 + call % 2, HOUR)))).await.unwrap();
    }
    let after: Vec<_> = (0..3).map(|index| lines(&cluster, index)).collect();
    assert_eq!(after.iter().map(Vec::len).sum::<usize>(), before, "300 calls are not worth a line");
    let differing: Vec<_> = after.iter().flat_map(|lines| about(lines, "callers state different limits")).collect();
    assert_eq!(differing.len(), 30, "once for each connection");
    assert!(differing.iter().all(|line| line.has(&["key", "limits"]) && line.text("level") == "WARN"));
    for lines in &after {
        assert_eq!(about(lines, "serving").iter().filter(|line| line.has(&["node", "epoch"])).count(), 1);
        assert!(about(lines, "a leader is elected").iter().any(|line| line.has(&["term", "leader"])));
        assert!(about(lines, "these nodes keep the log").iter().any(|line| line.has(&["voters", "spares"])));
    }

    cluster.kill(2);
    let gone =
        |lines: &[Line]| about(lines, "these nodes own connections").iter().filter(|line| !line.text("went").is_empty()).count();
    eventually("the ring without the third is told", || async { gone(&lines(&cluster, 0)) == 1 }).await;
    // Its connections come into memory at their new owners, which give them back.
    for name in 0..30 {
        soon(caller.try_acquire(trying(acquire(&format!("connection {name}"), 2, HOUR)))).await.unwrap();
    }
    cluster.start(2);
    cluster.until_all_are_in().await;
    let moved = |index: usize| {
        about(&lines(&cluster, index), "the ring has moved")
            .iter()
            .filter(|line| line.has(&["shard", "epoch", "connections"]))
            .count()
    };
    eventually("what goes to the third is told", || async { moved(0) + moved(1) > 0 }).await;

    cluster.end(1).await;
    let ended = lines(&cluster, 1);
    for message in ["draining", "drained"] {
        assert_eq!(about(&ended, message).iter().filter(|line| line.has(&["node"])).count(), 1, "{message}");
    }
    eventually("the node that went is no voter", || async {
        about(&lines(&cluster, 0), "these nodes own connections").iter().any(|line| line.text("went") == ended_node(&ended))
    })
    .await;
    assert_eq!(get(first, "/livez").await.status, 200);
}

/// Who has served.
fn ended_node(lines: &[Line]) -> String {
    about(lines, "serving")[0].text("node").to_owned()
}
