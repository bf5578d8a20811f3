//! What a router may do to the owner's end of its session, and to others.

use std::time::{Duration, Instant};

use turnstile::api::v1;
use turnstile::api::v1::owner_message::Message as OwnerSays;
use turnstile::api::v1::router_message::Message as RouterSays;

use crate::raw::{RawSession, acquire, lone_node};
use crate::support::{connection, soon};

const WINDOW: Duration = Duration::from_millis(300);

/// A ring that never comes.
const UNSEEN: u64 = u64::MAX;

fn is_moved(answer: &OwnerSays) -> bool {
    let OwnerSays::Refused(refused) = answer else { return false };
    matches!(refused.reason, Some(v1::routed_refusal::Reason::Moved(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_by_a_ring_that_is_on_its_way_delays_nothing_else_of_its_session() {
    let home = tempfile::tempdir().unwrap();
    let (node, address) = lone_node(home.path()).await;
    let roomy = |number, epoch| acquire(number, epoch, "roomy", 100, Duration::from_secs(1));
    let mut session = RawSession::begin(address).await;
    let began = Instant::now();
    session.say(vec![roomy(1, UNSEEN), roomy(2, UNSEEN), roomy(3, 0)]).await;
    session.say(vec![(2, RouterSays::Cancel(v1::RoutedEnd {})), roomy(4, UNSEEN)]).await;
    let mut answers = session.hear(Duration::from_secs(5)).await;
    assert!(matches!(answers[..], [(3, OwnerSays::Granted(_))]), "{answers:?}");
    let granted_after = began.elapsed();
    assert!(granted_after < Duration::from_millis(800), "{granted_after:?}");
    // Those whose ring has not come in time are refused in their order, but for the one that left.
    answers.clear();
    while answers.len() < 2 {
        answers.extend(session.hear(Duration::from_secs(5)).await);
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(answers.iter().map(|(number, answer)| (*number, is_moved(answer))).collect::<Vec<_>>(), [(1, true), (4, true)]);
    println!("granted after {granted_after:?}, refused after {:?}", began.elapsed());
    soon(node.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_silent_keeps_no_slot_from_others_and_has_its_turn_when_it_speaks() {
    let home = tempfile::tempdir().unwrap();
    let (node, address) = lone_node(home.path()).await;
    let narrow = connection("narrow", 1, WINDOW);
    let mut session = RawSession::begin(address).await;
    session.say((1..=4).map(|number| acquire(number, 0, "narrow", 1, WINDOW)).collect()).await;
    assert!(matches!(session.hear(Duration::from_secs(5)).await[..], [(1, OwnerSays::Granted(_))]));
    // Others come later, and are served at once; the session says nothing.
    let mut others = Vec::new();
    for _ in 0..2 {
        let permit = soon(node.throttler().acquire(&narrow)).await.unwrap();
        others.push(permit.release().get());
    }
    assert!(session.hear(Duration::from_millis(1)).await.is_empty(), "a slot was wasted");
    assert_eq!(node.throttler().report().await.waiters, 3);
    let mut granted = Vec::new();
    while granted.len() < 3 {
        session.say(Vec::new()).await;
        let answers = session.hear(Duration::from_millis(20)).await;
        granted.extend(answers.into_iter().map(|(number, answer)| {
            let OwnerSays::Granted(grant) = answer else { panic!("{number}: {answer:?}") };
            (number, grant.waits_since)
        }));
    }
    assert_eq!(granted.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [2, 3, 4], "the old order");
    let missed = others.iter().max().unwrap();
    assert!(granted.iter().all(|(_, waits_since)| waits_since > missed), "{granted:?} {others:?}");
    soon(node.shutdown()).await;
}
