//! What operators say: which limits rule, who is paused; and what they see of connections.

use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use turnstile::api::v1;
use turnstile::api::v1::admin_service_client::AdminServiceClient;
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::session_response::Message as Said;

use crate::support::{HOUR, SECOND, Server, Talk, acquire, asking, connect, key, soon, span, time, trying, under};

type Admin = AdminServiceClient<Channel>;

fn pattern(connection: &str) -> Option<v1::LimitPattern> {
    Some(v1::LimitPattern { platform: "test".to_owned(), connection: connection.to_owned() })
}

/// Sets a limit of so many an hour; whether there was another before.
async fn set(admin: &mut Admin, connection: &str, count: u32) -> bool {
    let rule = v1::LimitRule { pattern: pattern(connection), limits: acquire("any", count, HOUR).limits };
    soon(admin.set_limits(v1::SetLimitsRequest { rule: Some(rule) })).await.unwrap().into_inner().has_replaced
}

/// The pattern that rules over a connection, and what it allows.
async fn ruling(admin: &mut Admin, connection: &str) -> Option<(String, u32)> {
    let answer = soon(admin.get_limits(v1::GetLimitsRequest { key: key(connection) })).await;
    let rule = match answer {
        Ok(answer) => answer.into_inner().rule.unwrap(),
        Err(status) => {
            assert_eq!((status.code(), status.get_details_error_info().unwrap().reason.as_str()), (Code::NotFound, "NO_LIMITS"));
            return None;
        }
    };
    Some((rule.pattern.unwrap().connection, rule.limits[0].request_count))
}

#[tokio::test]
async fn the_longest_pattern_rules_and_limits_are_listed_page_by_page_and_deleted() {
    let server = Server::start().await;
    let mut admin = Admin::new(connect(server.address).await);
    assert_eq!(ruling(&mut admin, "acme/1").await, None);
    for (connection, count) in [("*", 1), ("acme/*", 2), ("acme/1", 3), ("b", 9)] {
        assert!(!set(&mut admin, connection, count).await);
    }
    assert!(set(&mut admin, "b", 4).await, "it had another");
    for (connection, expected) in [("acme/1", ("acme/1", 3)), ("acme/2", ("acme/*", 2)), ("b", ("b", 4)), ("bc", ("*", 1))] {
        assert_eq!(ruling(&mut admin, connection).await, Some((expected.0.to_owned(), expected.1)));
    }
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = v1::ListLimitsRequest { platform: "test".to_owned(), page_size: 3, page_token };
        let page = soon(admin.list_limits(page)).await.unwrap().into_inner();
        pages.push(page.rules.into_iter().map(|rule| rule.pattern.unwrap().connection).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [vec!["*", "acme/*", "acme/1"], vec!["b"]]);
    let other = v1::ListLimitsRequest { platform: "other".to_owned(), ..v1::ListLimitsRequest::default() };
    assert!(soon(admin.list_limits(other)).await.unwrap().into_inner().rules.is_empty());
    let delete = || v1::DeleteLimitsRequest { pattern: pattern("acme/1") };
    soon(admin.delete_limits(delete())).await.unwrap();
    assert_eq!(ruling(&mut admin, "acme/1").await, Some(("acme/*".to_owned(), 2)));
    assert_eq!(soon(admin.delete_limits(delete())).await.unwrap_err().code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn limits_that_are_set_rule_at_once_over_who_waits_and_over_what_callers_say() {
    let server = Server::start().await;
    let mut admin = Admin::new(connect(server.address).await);
    let mut client = server.client().await;
    soon(client.acquire(asking(acquire("ruled", 1, HOUR)))).await.unwrap();
    let mut talk = Talk::begin(&mut server.client().await).await;
    talk.say(Message::Acquire(under(1, acquire("ruled", 1, HOUR)))).await;
    server.until_waiting(1).await;
    set(&mut admin, "*", 3).await;
    assert!(matches!(talk.hear().await.1, Said::Granted(_)), "the second of three");
    let tried = || async { soon(server.client().await.try_acquire(trying(acquire("ruled", 9, HOUR)))).await.unwrap() };
    assert_eq!(tried().await.into_inner().outcome(), v1::Outcome::Granted);
    assert_eq!(tried().await.into_inner().outcome(), v1::Outcome::Throttled, "three of three, whatever its caller says");
    let two = v1::Acquire { cost: Some(2), ..acquire("another", 1, HOUR) };
    soon(client.acquire(asking(two))).await.unwrap();
    let costly = v1::Acquire { cost: Some(4), ..acquire("ruled", 9, HOUR) };
    let refused = soon(client.acquire(asking(costly))).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "COST_OVER_LIMIT");
    server.stop().await;
}

#[tokio::test]
async fn a_paused_connection_lets_nothing_through_until_it_is_resumed_and_keeps_its_order() {
    let server = Server::start().await;
    let mut admin = Admin::new(connect(server.address).await);
    soon(admin.pause_connection(v1::PauseConnectionRequest { key: key("paused") })).await.unwrap();
    let mut talk = Talk::begin(&mut server.client().await).await;
    for (count, number, niceness) in [(1, 1, 5), (2, 2, 0)] {
        talk.say(Message::Acquire(v1::Acquire { niceness, ..under(number, acquire("paused", 9, HOUR)) })).await;
        server.until_waiting(count).await;
    }
    let seen = soon(admin.get_connection(v1::GetConnectionRequest { key: key("paused") })).await.unwrap().into_inner();
    let seen = seen.connection.unwrap();
    let waiting: Vec<(u32, u64)> = seen.waiting.iter().map(|some| (some.niceness, some.count)).collect();
    assert_eq!((seen.is_paused, seen.paused_for, waiting), (true, None, vec![(0, 1), (5, 1)]));
    soon(admin.resume_connection(v1::ResumeConnectionRequest { key: key("paused") })).await.unwrap();
    let (first, second) = (talk.hear().await.0, talk.hear().await.0);
    assert_eq!([first, second], [crate::support::id(2), crate::support::id(1)]);

    let penalty = v1::PenalizeConnectionRequest { key: key("paused"), pause: Some(span(HOUR)) };
    soon(admin.penalize_connection(penalty)).await.unwrap();
    let tried = soon(server.client().await.try_acquire(trying(acquire("paused", 9, HOUR)))).await.unwrap().into_inner();
    assert!(time(tried.retry_after) > HOUR - 60 * SECOND);
    server.stop().await;
}

#[tokio::test]
async fn the_busiest_connections_come_first_and_one_that_nobody_uses_is_empty() {
    let server = Server::start().await;
    let mut admin = Admin::new(connect(server.address).await);
    let mut client = server.client().await;
    for (name, count) in [("quiet", 9), ("full", 1), ("busy", 1)] {
        soon(client.acquire(asking(acquire(name, count, HOUR)))).await.unwrap();
    }
    let talk = Talk::begin(&mut server.client().await).await;
    talk.say(Message::Acquire(under(1, acquire("busy", 1, HOUR)))).await;
    server.until_waiting(1).await;
    let list = |top| v1::ListConnectionsRequest { top };
    let listed = soon(admin.list_connections(list(0))).await.unwrap().into_inner();
    let names: Vec<&str> = listed.connections.iter().map(|seen| seen.key.as_ref().unwrap().connection.as_str()).collect();
    assert_eq!((names, listed.missing), (vec!["busy", "full", "quiet"], Vec::new()));
    let busy = &listed.connections[0];
    assert_eq!((busy.limits[0].used, busy.owner.len()), (1, 16));
    assert!(busy.longest_wait.is_some());
    assert_eq!(soon(admin.list_connections(list(2))).await.unwrap().into_inner().connections.len(), 2);
    let unused = soon(admin.get_connection(v1::GetConnectionRequest { key: key("unused") })).await.unwrap().into_inner();
    let connection = unused.connection.unwrap();
    assert!(connection.waiting.is_empty() && connection.limits.is_empty() && unused.rule.is_none());
    server.stop().await;
}
