//! What an operator sees of a single node, and may do to it.

use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use turnstile::api::v1::admin_service_client::AdminServiceClient;
use turnstile::api::{Bounds, FaultInjection, v1};

use crate::support::{HOUR, Server, acquire, asking, connect, key, soon};

async fn admin(server: &Server) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(connect(server.address).await)
}

fn refusing(nodes: &[&str]) -> v1::RefusePeersRequest {
    v1::RefusePeersRequest { nodes: nodes.iter().map(|&node| node.to_owned()).collect() }
}

#[tokio::test]
async fn the_status_of_a_single_node_shows_it_leading_and_who_waits() {
    let server = Server::start().await;
    let mut callers = server.client().await;
    soon(callers.acquire(asking(acquire("full", 1, HOUR)))).await.unwrap();
    let waiting = tokio::spawn(async move { callers.acquire(asking(acquire("full", 1, HOUR))).await });
    server.until_waiting(1).await;

    let status = soon(admin(&server).await.get_status(v1::GetStatusRequest {})).await.unwrap().into_inner();
    let node = server.node.id().to_string();
    assert_eq!((&status.node, status.leader.as_ref(), status.is_leader), (&node, Some(&node), true));
    assert_eq!((status.voters, status.members, status.peers), (vec![node.clone()], vec![node], Vec::new()));
    assert_eq!((status.tracked, status.connections, status.waiters), (1, 1, 1));
    assert!(status.cluster.len() == 32 && status.term > 0 && status.epoch > 0, "{}", status.cluster);
    assert!(status.last_log_index >= status.applied_index && status.applied_index >= status.epoch);
    assert!(status.since_quorum.is_some());

    server.stop().await;
    assert_eq!(soon(waiting).await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_connection_of_a_single_node_is_owned_by_one_of_its_shards() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let owner = |name: &str| v1::GetOwnerRequest { key: key(name) };
    let first = soon(admin.get_owner(owner("a"))).await.unwrap().into_inner();
    assert_eq!(first.node, server.node.id().to_string());
    assert_eq!(soon(admin.get_owner(owner("a"))).await.unwrap().into_inner(), first);

    let nameless = soon(admin.get_owner(v1::GetOwnerRequest { key: None })).await.unwrap_err();
    let violations = nameless.get_details_bad_request().unwrap().field_violations;
    assert_eq!((nameless.code(), violations[0].field.as_str()), (Code::InvalidArgument, "key"));
    server.stop().await;
}

#[tokio::test]
async fn peers_are_refused_only_where_fault_injection_is_enabled() {
    let server = Server::start().await;
    let refused = soon(admin(&server).await.refuse_peers(refusing(&[]))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("enable_fault_injection"), "{refused}");
    server.stop().await;

    let server = Server::with(Bounds::default(), FaultInjection::Enabled).await;
    let alone = soon(admin(&server).await.refuse_peers(refusing(&["0123456789abcdef"]))).await.unwrap_err();
    assert_eq!(alone.code(), Code::FailedPrecondition);
    assert_eq!(alone.message(), "the node has no peers: it is no part of a cluster");
    server.stop().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_named_with_its_rule() {
    let server = Server::with(Bounds::default(), FaultInjection::Enabled).await;
    let mut admin = admin(&server).await;
    for id in ["", "123", "0123456789abcdeg", "0123456789abcdef0", "+123456789abcdef"] {
        let refused = soon(admin.refuse_peers(refusing(&["0123456789abcdef", id]))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violations = refused.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "nodes[1]");
        assert_eq!(violations[0].description, format!("is {id:?}: a node's id is 16 hexadecimal digits"));
    }
    let ids = vec!["0123456789abcdef"; 1001];
    let refused = soon(admin.refuse_peers(refusing(&ids))).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].description, "has 1001 ids: it takes at most 1000");
    server.stop().await;
}
