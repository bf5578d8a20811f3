//! What is said of a grant afterwards, and how a request stands before.

use tonic::Code;
use tonic_types::StatusExt;
use turnstile::api::v1;
use turnstile::api::v1::session_request::Message;
use turnstile::api::v1::session_response::Message as Said;

use crate::support::{Client, HOUR, SECOND, Server, Talk, acquire, asking, id, key, soon, span, time, trying, under};

/// An acquire that is estimated at so many tokens, of a connection that has 100 an hour.
fn tokens(name: &str, estimate: u32) -> v1::Acquire {
    let mut acquire = acquire(name, 100, HOUR);
    acquire.limits[0].dimension = v1::Dimension::Tokens.into();
    v1::Acquire { tokens: Some(estimate), ..acquire }
}

fn taken(tokens: u32) -> Option<v1::Usage> {
    Some(v1::Usage { tokens: Some(tokens), ..v1::Usage::default() })
}

async fn granted(client: &mut Client, acquire: v1::Acquire) -> v1::Grant {
    soon(client.acquire(asking(acquire))).await.unwrap().into_inner().grant.unwrap()
}

/// Whether there is room for so many tokens now.
async fn fits(client: &mut Client, name: &str, estimate: u32) -> bool {
    let tried = soon(client.try_acquire(trying(tokens(name, estimate)))).await.unwrap().into_inner();
    tried.outcome() == v1::Outcome::Granted
}

#[tokio::test]
async fn a_reconcile_frees_what_was_estimated_too_much_and_counts_once() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let permit = granted(&mut client, tokens("model", 80)).await.permit;
    assert!(!fits(&mut client, "model", 21).await);
    for _ in 0..2 {
        let reconcile = v1::ReconcileRequest { permit: permit.clone(), usage: taken(30) };
        let answer = soon(client.reconcile(reconcile)).await.unwrap().into_inner();
        assert_eq!(answer.refunded.map(|count| count.tokens), Some(50));
        assert_eq!(answer.owed.map(|count| count.tokens), Some(0));
    }
    assert!(fits(&mut client, "model", 70).await, "30 of 100 are taken");
    assert!(!fits(&mut client, "model", 1).await);

    // It was used: its slot does not come back.
    let release = soon(client.release(v1::ReleaseRequest { permit })).await.unwrap_err();
    assert_eq!(release.code(), Code::NotFound);
    assert_eq!(release.get_details_error_info().unwrap().reason, "NOT_OPEN");
    server.stop().await;
}

#[tokio::test]
async fn what_a_call_has_taken_beyond_its_estimate_is_owed_and_who_says_nothing_is_told_so() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let permit = granted(&mut client, tokens("model", 10)).await.permit;
    let nothing = v1::ReconcileRequest { permit: permit.clone(), usage: Some(v1::Usage::default()) };
    let refused = soon(client.reconcile(nothing)).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "usage");
    let answer = soon(client.reconcile(v1::ReconcileRequest { permit, usage: taken(60) })).await.unwrap().into_inner();
    assert_eq!(answer.owed.map(|count| count.tokens), Some(50));
    assert!(!fits(&mut client, "model", 41).await);
    assert!(fits(&mut client, "model", 40).await);

    let plain = granted(&mut client, acquire("plain", 5, HOUR)).await.permit;
    let refused = soon(client.reconcile(v1::ReconcileRequest { permit: plain, usage: taken(1) })).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn a_permit_that_was_given_back_can_not_be_reconciled_and_its_slot_is_free_at_once() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let permit = granted(&mut client, tokens("model", 100)).await.permit;
    soon(client.release(v1::ReleaseRequest { permit: permit.clone() })).await.unwrap();
    let late = soon(client.reconcile(v1::ReconcileRequest { permit, usage: taken(1) })).await.unwrap_err();
    assert_eq!(late.code(), Code::NotFound);
    assert!(fits(&mut client, "model", 100).await);
    server.stop().await;
}

#[tokio::test]
async fn a_session_reconciles_what_it_holds() {
    let server = Server::start().await;
    let mut talk = Talk::begin(&mut server.client().await).await;
    talk.say(Message::Acquire(under(1, tokens("model", 80)))).await;
    assert!(matches!(talk.hear().await, (_, Said::Granted(_))));
    let reconcile = |number, usage| Message::Reconcile(v1::Reconcile { request_id: id(number), usage });
    talk.say(reconcile(1, None)).await;
    let (about, said) = talk.hear().await;
    let Said::Failed(failed) = said else { panic!("nothing was said of what it has taken: {said:?}") };
    assert_eq!((about, Code::from_i32(failed.code)), (id(1), Code::InvalidArgument));
    talk.say(reconcile(1, taken(20))).await;
    let (about, said) = talk.hear().await;
    let Said::Reconciled(reconciled) = said else { panic!("it is not reconciled: {said:?}") };
    assert_eq!((about, reconciled.refunded.map(|count| count.tokens)), (id(1), Some(60)));
    // It is over with that, as with `done`.
    talk.say(reconcile(1, taken(20))).await;
    assert!(matches!(talk.hear().await.1, Said::Failed(failed) if Code::from_i32(failed.code) == Code::NotFound));
    assert!(fits(&mut server.client().await, "model", 80).await);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_is_explained_and_one_that_does_not_is_not_found() {
    let server = Server::start().await;
    let mut client = server.client().await;
    granted(&mut client, acquire("full", 1, HOUR)).await;
    let talk = Talk::begin(&mut server.client().await).await;
    for (count, number, niceness) in [(1, 1, 0), (2, 2, 5), (3, 3, 5)] {
        talk.say(Message::Acquire(v1::Acquire { niceness, ..under(number, acquire("full", 1, HOUR)) })).await;
        server.until_waiting(count).await;
    }
    let explain = |number| v1::ExplainRequest { key: key("full"), request_id: id(number) };
    let explained = soon(client.explain(explain(3))).await.unwrap().into_inner();
    let ahead: Vec<(u32, u64)> = explained.ahead.iter().map(|ahead| (ahead.niceness, ahead.count)).collect();
    assert_eq!((explained.position, ahead), (3, vec![(0, 1), (5, 1)]));
    let wait = time(explained.estimated_wait);
    assert!(wait > 3 * HOUR - 60 * SECOND && wait <= 3 * HOUR, "{wait:?}");
    assert!(time(explained.waited) < 20 * SECOND);
    let unknown = soon(client.explain(explain(4))).await.unwrap_err();
    assert_eq!(unknown.get_details_error_info().unwrap().reason, "NOT_WAITING");
    let impatient = v1::Acquire { timeout: Some(span(SECOND)), ..acquire("other", 1, HOUR) };
    granted(&mut client, impatient).await;
    server.stop().await;
}
