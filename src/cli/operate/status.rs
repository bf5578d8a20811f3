//! `turnstile status`: how the nodes of a cluster are.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::overview::{Cluster, Overview, Role, since_quorum};
use crate::cli::ask::{self, Answer, AskError, NodesArgs, printable};
use crate::cli::table::{Row, table};
use crate::wire::v1::GetStatusResponse;

/// What is above the columns.
const HEAD: [&str; 9] = ["node", "address", "role", "term", "epoch", "since quorum", "log/applied", "connections", "waiters"];

/// The first column of numbers.
const NUMBERS: usize = 3;

/// Flags of `turnstile status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints how all nodes are. The exit code is 1 when one doesn't answer or nobody leads.
///
/// # Errors
/// See [`AskError`].
pub(crate) async fn run(args: StatusArgs) -> Result<ExitCode, AskError> {
    let addresses = args.nodes.addresses()?;
    let answers = super::statuses(&addresses).await;
    let overview = Overview::of(&answers);
    let nodes: Vec<(&str, &Answer<GetStatusResponse>)> = addresses.iter().map(String::as_str).zip(&answers).collect();
    ask::write(&if args.json { object(&nodes, &overview) } else { page(&nodes, &overview) })?;
    let is_well = answers.iter().all(Result::is_ok) && overview.is_led();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A table of the nodes, and a line for each cluster.
fn page(nodes: &[(&str, &Answer<GetStatusResponse>)], overview: &Overview) -> String {
    let rows = nodes.iter().map(|(address, answer)| {
        let (address, role) = ((*address).to_owned(), overview.role(answer).name().to_owned());
        match answer {
            Err(reason) => Row::Remark(vec!["-".to_owned(), address, role], reason.clone()),
            Ok(status) => Row::Full([
                printable(&status.node),
                address,
                role,
                status.term.to_string(),
                status.epoch.to_string(),
                since_quorum(status).map_or_else(|| "-".to_owned(), |since| format!("{:.3} s", since.as_secs_f64())),
                format!("{}/{}", status.last_log_index, status.applied_index),
                status.connections.to_string(),
                status.waiters.to_string(),
            ]),
        }
    });
    let rows: Vec<Row<9>> = rows.collect();
    let clusters = overview.clusters.values().map(|cluster| line(cluster) + &upgrade(cluster, nodes));
    let no_leader =
        (!overview.clusters.is_empty() && !overview.is_led()).then(|| "nobody leads: nothing is granted now\n".to_owned());
    [table(HEAD, NUMBERS, &rows), "\n".to_owned()]
        .into_iter()
        .chain(clusters)
        .chain(no_leader)
        .collect::<String>()
        .trim_end()
        .to_owned()
        + "\n"
}

fn line(Cluster { id, members, voters, replicas, tracked, .. }: &Cluster) -> String {
    let there = replicas.intersection(members).count();
    let (voters, all, id) = (voters.len(), replicas.len(), printable(id));
    format!("cluster {id}: {there} of {all} replicas are in, {voters} of them voters, {tracked} connections tracked\n")
}

/// Who still keeps the cluster from the rules of a newer release, if anybody does.
fn upgrade(cluster: &Cluster, nodes: &[(&str, &Answer<GetStatusResponse>)]) -> String {
    let Cluster { id, level, newest_level, .. } = cluster;
    if newest_level <= level {
        return String::new();
    }
    let is_behind = |status: &GetStatusResponse| status.cluster == *id && status.newest_level < *newest_level;
    let behind = nodes
        .iter()
        .filter_map(|(address, answer)| answer.as_ref().ok().filter(|status| is_behind(status)).map(|status| (address, status)));
    let behind: Vec<String> =
        behind.map(|(address, status)| format!("{address} (release {})", printable(&status.release))).collect();
    let whom = if behind.is_empty() { "nodes that were not asked or do not answer".to_owned() } else { behind.join(", ") };
    format!("its ledger is at level {level}; level {newest_level} waits for {whom}\n")
}

fn object(nodes: &[(&str, &Answer<GetStatusResponse>)], overview: &Overview) -> String {
    let clusters = overview.clusters.values().map(|cluster| {
        let Cluster { id, leader, members, voters, replicas, tracked, level, newest_level } = cluster;
        let spares: Vec<&String> = replicas.difference(voters).collect();
        json!({
            "id": id,
            "leader": leader,
            "members": members,
            "voters": voters,
            "spares": spares,
            "tracked": tracked,
            "level": level,
            "newest_level": newest_level,
        })
    });
    let rows = nodes.iter().map(|(address, answer)| row(address, overview.role(answer), answer));
    let all = json!({ "clusters": clusters.collect::<Vec<Value>>(), "nodes": rows.collect::<Vec<Value>>() });
    format!("{all:#}\n")
}

fn row(address: &str, role: Role, answer: &Answer<GetStatusResponse>) -> Value {
    let role = role.name();
    match answer {
        Err(reason) => json!({ "address": address, "role": role, "reason": reason }),
        Ok(status) => json!({
            "address": address,
            "role": role,
            "node": status.node,
            "cluster": status.cluster,
            "term": status.term,
            "epoch": status.epoch,
            "leader": status.leader,
            "is_leader": status.is_leader,
            "since_quorum_seconds": since_quorum(status).map(|since| since.as_secs_f64()),
            "voters": status.voters,
            "members": status.members,
            "last_log_index": status.last_log_index,
            "applied_index": status.applied_index,
            "tracked": status.tracked,
            "connections": status.connections,
            "waiters": status.waiters,
            "level": status.level,
            "newest_level": status.newest_level,
            "release": status.release,
            "peers": status.peers.iter().map(|peer| json!({
                "address": peer.address,
                "node": peer.node,
                "silent_for_seconds": peer.silent_for.and_then(|span| std::time::Duration::try_from(span).ok()).map(|span| span.as_secs_f64()),
                "trouble": peer.trouble,
            })).collect::<Vec<Value>>(),
        }),
    }
}
