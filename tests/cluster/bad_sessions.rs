//! What a router says on a session that no router says: twice, too early, too late, or so that it does not parse.
//!
//! What is out of order changes nothing; what is no message ends its session, with an error that names the field.

use std::time::{Duration, Instant};

use tonic::Code;
use turnstile::api::v1;
use turnstile::api::v1::owner_message::Message as OwnerSays;
use turnstile::api::v1::routed_adjusted::Outcome as Adjusted;
use turnstile::api::v1::routed_adjustment::Adjustment;
use turnstile::api::v1::router_message::Message as RouterSays;
use turnstile::{Connection, ConnectionKey, Node};

use crate::bad_peers::{cluster, still_serve};
use crate::stranger::{Stranger, Talk};
use crate::support::{connection, soon};

const HOUR: Duration = Duration::from_secs(3600);
const OVER: v1::RoutedEnd = v1::RoutedEnd {};

/// A name that this node owns.
fn owned_by(node: &Node, prefix: &str) -> String {
    let mut names = (0..).map(|number| format!("{prefix}-{number}"));
    let owner = |name: &String| node.admin().owner(&ConnectionKey::new("test", name).unwrap()).unwrap().0;
    names.find(|name| owner(name) == node.id()).unwrap()
}

/// One per hour.
fn hourly(name: &str) -> Connection {
    connection(name, 1, HOUR)
}

/// An acquire of such a connection.
fn acquire(name: &str, id: u128) -> v1::RoutedAcquire {
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let limit = v1::RateLimit {
        request_count: 1,
        window: span(3600, 0),
        delivery_bound: span(0, 300_000_000),
        ..v1::RateLimit::default()
    };
    v1::RoutedAcquire {
        key: Some(v1::ConnectionKey { platform: "test".to_owned(), connection: name.to_owned() }),
        request_id: id.to_be_bytes().to_vec(),
        cost: Some(v1::RoutedCost { units: 1, ..v1::RoutedCost::default() }),
        limits: vec![limit],
        ..v1::RoutedAcquire::default()
    }
}

async fn granted(talk: &mut Talk, number: u64) {
    let (answered, message) = talk.hear().await;
    assert!(answered == number && matches!(message, OwnerSays::Granted(_)), "{answered}: {message:?}");
}

/// Waits until so many wait at this node.
async fn until_waiting(node: &Node, count: usize) {
    let began = Instant::now();
    while node.admin().status().await.waiters != count {
        assert!(began.elapsed() < Duration::from_secs(20), "{count} do not wait");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_used_twice_and_a_cancel_that_comes_first_change_nothing() {
    let (_home, nodes, addresses) = cluster().await;
    let mut talk = Stranger::at(addresses[0]).await.begin().await;
    let (name, other) = (owned_by(&nodes[0], "twice"), owned_by(&nodes[0], "other"));
    talk.say([(1, RouterSays::Cancel(OVER)), (1, RouterSays::Acquire(acquire(&name, 1)))]).await;
    granted(&mut talk, 1).await;
    // It stands for the first one still, also for another connection.
    talk.say([(1, RouterSays::Acquire(acquire(&other, 2))), (2, RouterSays::Acquire(acquire(&name, 3)))]).await;
    talk.say([(2, RouterSays::Acquire(acquire(&other, 4))), (2, RouterSays::Adjust(v1::RoutedAdjustment::default()))]).await;
    until_waiting(&nodes[0], 1).await;
    // Nobody has taken that one's slot.
    drop(soon(nodes[1].throttler().acquire(&hourly(&other))).await.unwrap());
    talk.say([(2, RouterSays::Cancel(OVER)), (2, RouterSays::Cancel(OVER))]).await;
    until_waiting(&nodes[0], 0).await;
    still_serve(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_ends_once_whatever_is_said_about_it_afterwards() {
    let (_home, nodes, addresses) = cluster().await;
    let mut talk = Stranger::at(addresses[0]).await.begin().await;
    let name = owned_by(&nodes[0], "ends");
    talk.say([(1, RouterSays::Acquire(acquire(&name, 1)))]).await;
    granted(&mut talk, 1).await;
    // Done is done: the slot stays used.
    let after = [RouterSays::Done(OVER), RouterSays::Done(OVER), RouterSays::GiveBack(OVER), RouterSays::TooLate(OVER)];
    talk.say(after.into_iter().chain([RouterSays::Cancel(OVER)]).map(|message| (1, message))).await;
    talk.say([(2, RouterSays::Acquire(acquire(&name, 2)))]).await;
    until_waiting(&nodes[0], 1).await;
    // Nothing of this is for one that waits.
    talk.say([RouterSays::TooLate(OVER), RouterSays::GiveBack(OVER), RouterSays::Done(OVER)].map(|message| (2, message))).await;
    let tried = nodes[1].throttler().try_throttle(&hourly(&name), || async {}).await.unwrap();
    assert_eq!(tried, None, "the slot went back after it was used");
    until_waiting(&nodes[0], 1).await;
    talk.say([(2, RouterSays::Cancel(OVER))]).await;
    until_waiting(&nodes[0], 0).await;

    // What goes back goes back once.
    let name = owned_by(&nodes[0], "back");
    talk.say([(3, RouterSays::Acquire(acquire(&name, 3)))]).await;
    granted(&mut talk, 3).await;
    talk.say([RouterSays::GiveBack(OVER), RouterSays::GiveBack(OVER), RouterSays::TooLate(OVER)].map(|message| (3, message)))
        .await;
    drop(soon(nodes[2].throttler().acquire(&hourly(&name))).await.unwrap());
    talk.say([(3, RouterSays::GiveBack(OVER)), (3, RouterSays::Cancel(OVER))]).await;
    talk.say([(4, RouterSays::Acquire(acquire(&name, 4)))]).await;
    until_waiting(&nodes[0], 1).await;
    let tried = nodes[1].throttler().try_throttle(&hourly(&name), || async {}).await.unwrap();
    assert_eq!(tried, None, "the slot went back twice");
    still_serve(nodes).await;
}

type Spoil = fn(&mut v1::RoutedAcquire);

const BROKEN: &[(Spoil, &str)] = &[
    (|acquire| acquire.key = None, "key: is not set: it is required"),
    (|acquire| acquire.request_id = vec![1; 15], "request_id: has 15 bytes: a request id takes 16"),
    (|acquire| acquire.limits.clear(), "limits: connection has 0 limits: it takes 1 to 8"),
    (
        |acquire| acquire.limits[0].request_count = 0,
        "limits[0].request_count: request count is 0: a limit allows at least 1 per window",
    ),
    (
        |acquire| {
            acquire.patience = Some(v1::routed_acquire::Patience::DeadlineIn(prost_types::Duration { seconds: -1, nanos: 0 }))
        },
        "deadline_in: is -1s and 0ns: seconds take 0 or more, nanos 0 to 999999999",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_parse_ends_its_session_by_its_field_and_its_waiters_leave() {
    let (_home, nodes, addresses) = cluster().await;
    let mut stranger = Stranger::at(addresses[0]).await;
    let name = owned_by(&nodes[0], "broken");
    let held = soon(nodes[0].throttler().acquire(&hourly(&name))).await.unwrap();
    for (spoil, told) in BROKEN {
        let mut talk = stranger.begin().await;
        talk.say([(1, RouterSays::Acquire(acquire(&name, 1)))]).await;
        until_waiting(&nodes[0], 1).await;
        let mut broken = acquire(&name, 2);
        spoil(&mut broken);
        talk.say([(2, RouterSays::Acquire(broken))]).await;
        let end = talk.end().await.unwrap_err();
        assert_eq!((end.code(), end.message()), (Code::InvalidArgument, *told));
        until_waiting(&nodes[0], 0).await;
    }
    let mut talk = stranger.begin().await;
    talk.say([(1, RouterSays::Adjust(v1::RoutedAdjustment::default()))]).await;
    assert_eq!(talk.end().await.unwrap_err().message(), "adjustment: is not set: it is required");
    drop(held);
    still_serve(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_as_large_as_they_can_be_and_messages_without_content_disturb_nobody() {
    let (_home, nodes, addresses) = cluster().await;
    let mut stranger = Stranger::at(addresses[0]).await;
    let mut talk = stranger.begin().await;
    let (name, sender) = (owned_by(&nodes[0], "large"), Some(stranger.sender()));
    let empty = |number| v1::RouterMessage { number, message: None };
    talk.send(v1::RouteRequest { sender, stamp_nanos: u64::MAX, messages: vec![empty(0), empty(u64::MAX)] }).await;
    let longest = prost_types::Duration { seconds: i64::MAX, nanos: 999_999_999 };
    let patience = Some(v1::routed_acquire::Patience::DeadlineIn(longest));
    // A ring that never comes is waited for, but not for ever.
    let large = v1::RoutedAcquire { epoch: u64::MAX, began_at_nanos: Some(u64::MAX), patience, ..acquire(&name, u128::MAX) };
    talk.say([(u64::MAX, RouterSays::Acquire(large.clone()))]).await;
    let (number, answer) = talk.hear().await;
    let OwnerSays::Refused(v1::RoutedRefusal { reason: Some(reason) }) = answer else { panic!("{answer:?}") };
    assert!(number == u64::MAX && matches!(reason, v1::routed_refusal::Reason::Moved(_)), "{number}: {reason:?}");
    let large = v1::RoutedAcquire { epoch: 0, ..large };
    talk.say([(u64::MAX, RouterSays::Acquire(large.clone()))]).await;
    granted(&mut talk, u64::MAX).await;
    talk.say([(u64::MAX, RouterSays::GiveBack(OVER))]).await;
    let most = v1::RoutedCost { units: u64::MAX, tokens: u64::MAX, input_tokens: u64::MAX, output_tokens: u64::MAX };
    let costly = v1::RoutedAcquire { cost: Some(most), ..large };
    talk.say([(1, RouterSays::Acquire(costly))]).await;
    let (number, answer) = talk.hear().await;
    let OwnerSays::Refused(v1::RoutedRefusal { reason: Some(reason) }) = answer else { panic!("{answer:?}") };
    assert!(number == 1 && matches!(reason, v1::routed_refusal::Reason::CostOverLimit(_)), "{number}: {reason:?}");
    let reconcile = v1::RoutedReconcile {
        tenure: u64::MAX,
        release: u64::MAX,
        charged_at_nanos: u64::MAX,
        delivery: Some(longest),
        estimate: Some(most),
        actual: Some(most),
    };
    let (reconcile, pause) = (Adjustment::Reconcile(reconcile), Adjustment::Penalize(longest));
    for (number, adjustment) in [(2, reconcile), (3, pause)] {
        let routed = v1::RoutedAdjustment { key: acquire(&name, 1).key, epoch: u64::MAX, adjustment: Some(adjustment) };
        talk.say([(number, RouterSays::Adjust(routed))]).await;
    }
    let adjusted = |outcome| OwnerSays::Adjusted(v1::RoutedAdjusted { outcome: Some(outcome) });
    let mut answers = [talk.hear().await, talk.hear().await];
    answers.sort_by_key(|(number, _)| *number);
    let until = u64::MAX;
    assert_eq!(answers, [(2, adjusted(Adjusted::Unknown(OVER))), (3, adjusted(Adjusted::PausedUntilNanos(until)))]);
    still_serve(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_session_of_one_node_ends_the_first_and_what_that_still_says_is_heard_by_nobody() {
    let (_home, nodes, addresses) = cluster().await;
    let mut stranger = Stranger::at(addresses[0]).await;
    let name = owned_by(&nodes[0], "second");
    let held = soon(nodes[0].throttler().acquire(&hourly(&name))).await.unwrap();
    let mut first = stranger.begin().await;
    first.say([(1, RouterSays::Acquire(acquire(&name, 1)))]).await;
    until_waiting(&nodes[0], 1).await;
    let mut second = stranger.begin().await;
    first.end().await.unwrap();
    until_waiting(&nodes[0], 0).await;
    first.try_say((2, RouterSays::Acquire(acquire(&name, 2))));
    second.say([(1, RouterSays::Acquire(acquire(&name, 3)))]).await;
    until_waiting(&nodes[0], 1).await;
    held.give_back();
    granted(&mut second, 1).await;
    still_serve(nodes).await;
}
