//! What is refused for how it is written, and how that is told.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;
use turnstile::api::v1;
use turnstile::api::v1::admin_service_client::AdminServiceClient;

use crate::support::{HOUR, SECOND, Server, acquire, asking, connect, key, soon, span, trying};

/// The field and the rule that a refusal names.
fn refused(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    let [violation] = violations.as_slice() else { panic!("one violation: {violations:?}") };
    (violation.field.clone(), violation.description.clone())
}

type Spoil = fn(&mut v1::Acquire);

const BROKEN: &[(Spoil, &str, &str)] = &[
    (|acquire| acquire.request_id = vec![1; 15], "acquire.request_id", "has 15 bytes: a request id takes 16"),
    (|acquire| acquire.request_id = vec![1; 17], "acquire.request_id", "has 17 bytes: a request id takes 16"),
    (|acquire| acquire.key = None, "acquire.key", "is not set: it is required"),
    (|acquire| named(acquire).platform.clear(), "acquire.key.platform", "platform is empty: it takes 1 to 256 bytes of UTF-8"),
    (
        |acquire| named(acquire).platform = "p".repeat(257),
        "acquire.key.platform",
        "platform has 257 bytes: it takes 1 to 256 bytes of UTF-8",
    ),
    (
        |acquire| named(acquire).connection.clear(),
        "acquire.key.connection",
        "connection is empty: it takes 1 to 256 bytes of UTF-8",
    ),
    (
        |acquire| named(acquire).connection = "a\0".to_owned(),
        "acquire.key.connection",
        "connection \"a\\0\" holds a NUL byte: names are text without NUL",
    ),
    (|acquire| acquire.limits.clear(), "acquire.limits", "connection has 0 limits: it takes 1 to 8"),
    (|acquire| acquire.limits = vec![acquire.limits[0]; 9], "acquire.limits", "connection has 9 limits: it takes 1 to 8"),
    (
        |acquire| acquire.limits[0].request_count = 0,
        "acquire.limits[0].request_count",
        "request count is 0: a limit allows at least 1 per window",
    ),
    (|acquire| acquire.limits[0].window = None, "acquire.limits[0].window", "is not set: it is required"),
    (|acquire| window(acquire, 0, 999_999), "acquire.limits[0].window", "window is 999.999µs: it takes 1ms to 7 days"),
    (|acquire| window(acquire, 604_801, 0), "acquire.limits[0].window", "window is 604801s: it takes 1ms to 7 days"),
    (
        |acquire| window(acquire, -1, 0),
        "acquire.limits[0].window",
        "is -1s and 0ns: seconds take 0 or more, nanos 0 to 999999999",
    ),
    (
        |acquire| window(acquire, 1, 1_000_000_000),
        "acquire.limits[0].window",
        "is 1s and 1000000000ns: seconds take 0 or more, nanos 0 to 999999999",
    ),
    (
        |acquire| acquire.limits[0].dimension = 5,
        "acquire.limits[0].dimension",
        "is 5: it takes DIMENSION_UNITS (1), DIMENSION_TOKENS (2), DIMENSION_INPUT_TOKENS (3) or DIMENSION_OUTPUT_TOKENS (4)",
    ),
    (
        |acquire| acquire.limits[0].delivery_bound = Some(span(61 * SECOND)),
        "acquire.limits[0].delivery_bound",
        "delivery bound is 61s: it takes 0s to 60s",
    ),
    (
        |acquire| acquire.limits[0].algorithm = 6,
        "acquire.limits[0].algorithm",
        "is 6: it takes ALGORITHM_SLIDING_WINDOW (1), ALGORITHM_TOKEN_BUCKET (2), ALGORITHM_LEAKY_BUCKET (3), ALGORITHM_GCRA_VIRTUAL (4) or ALGORITHM_GCRA_CONTINUOUS (5)",
    ),
    (|acquire| acquire.limits[0].guard = Some(span(61 * SECOND)), "acquire.limits[0].guard", "guard is 61s: it takes 0s to 60s"),
    (|acquire| acquire.cost = Some(0), "acquire.cost", "cost is 0: a request takes at least 1 unit"),
    (|acquire| acquire.cost = Some(6), "acquire.cost", "cost of 6 units and 0 tokens is over the limit of 5 per 3600s"),
    (
        |acquire| (acquire.limits[0].dimension, acquire.tokens) = (2, Some(6)),
        "acquire.tokens",
        "cost of 1 units and 6 tokens is over the limit of 5 tokens per 3600s",
    ),
    (|acquire| acquire.timeout = Some(span(Duration::ZERO)), "acquire.timeout", "is 0s: it takes more than 0s, at most 30 days"),
    (|acquire| acquire.waited = Some(span(721 * HOUR)), "acquire.waited", "is 2595600s: it takes at most 30 days"),
    (|acquire| acquire.timeout = Some(span(721 * HOUR)), "acquire.timeout", "is 2595600s: it takes at most 30 days"),
    (|acquire| acquire.max_wait = Some(span(721 * HOUR)), "acquire.max_wait", "is 2595600s: it takes at most 30 days"),
];

fn named(acquire: &mut v1::Acquire) -> &mut v1::ConnectionKey {
    acquire.key.as_mut().unwrap()
}

fn window(acquire: &mut v1::Acquire, seconds: i64, nanos: i32) {
    acquire.limits[0].window = Some(prost_types::Duration { seconds, nanos });
}

#[tokio::test]
async fn every_field_that_breaks_its_rule_is_named_with_its_value() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (spoil, field, rule) in BROKEN {
        let mut broken = acquire("connection", 5, HOUR);
        spoil(&mut broken);
        let error = soon(client.acquire(asking(broken))).await.unwrap_err();
        assert_eq!(refused(&error), ((*field).to_owned(), (*rule).to_owned()));
        assert!(error.message().contains(rule), "{error}");
    }
    let nothing = soon(client.acquire(v1::AcquireRequest { acquire: None })).await.unwrap_err();
    assert_eq!(refused(&nothing).0, "acquire");
    soon(client.acquire(asking(acquire("connection", 5, HOUR)))).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_try_takes_no_timeout_and_no_longest_wait_and_has_not_waited() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let timed = v1::Acquire { timeout: Some(span(SECOND)), ..acquire("tried", 5, HOUR) };
    let waiting = v1::Acquire { max_wait: Some(span(SECOND)), ..acquire("tried", 5, HOUR) };
    let aged = v1::Acquire { waited: Some(span(SECOND)), ..acquire("tried", 5, HOUR) };
    for (broken, field) in [(timed, "acquire.timeout"), (waiting, "acquire.max_wait"), (aged, "acquire.waited")] {
        let error = soon(client.try_acquire(trying(broken))).await.unwrap_err();
        assert_eq!(refused(&error), (field.to_owned(), "is 1s: a try takes none".to_owned()));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_permit_is_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (permit, rule) in [
        (Vec::new(), "is not set: it is required"),
        (vec![1; 9], "has 9 bytes that are no permit: it takes what came with a grant"),
        (vec![0; 5000], "has 5000 bytes that are no permit: it takes what came with a grant"),
    ] {
        let expected = ("permit".to_owned(), rule.to_owned());
        let release = v1::ReleaseRequest { permit: permit.clone() };
        assert_eq!(refused(&soon(client.release(release)).await.unwrap_err()), expected);
        let usage = Some(v1::Usage { tokens: Some(1), ..v1::Usage::default() });
        assert_eq!(refused(&soon(client.reconcile(v1::ReconcileRequest { permit, usage })).await.unwrap_err()), expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_an_operator_writes_wrong_is_named() {
    let server = Server::start().await;
    let mut client = AdminServiceClient::new(connect(server.address).await);
    let limits = acquire("any", 5, HOUR).limits;
    let pattern = |connection: &str| Some(v1::LimitPattern { platform: "test".to_owned(), connection: connection.to_owned() });
    let rule = |pattern, limits: &[v1::RateLimit]| v1::SetLimitsRequest {
        rule: Some(v1::LimitRule { pattern, limits: limits.to_vec() }),
    };
    for (request, field) in [
        (v1::SetLimitsRequest { rule: None }, "rule"),
        (rule(None, &limits), "rule.pattern"),
        (rule(pattern(""), &limits), "rule.pattern.connection"),
        (rule(pattern("*"), &[]), "rule.limits"),
        (rule(pattern("*"), &[v1::RateLimit::default()]), "rule.limits[0].window"),
    ] {
        assert_eq!(refused(&soon(client.set_limits(request)).await.unwrap_err()).0, field);
    }
    let page = v1::ListLimitsRequest { page_size: 1001, ..v1::ListLimitsRequest::default() };
    assert_eq!(refused(&soon(client.list_limits(page)).await.unwrap_err()).0, "page_size");
    for page_token in ["x", "a/%00", "%ff/a"] {
        let page = v1::ListLimitsRequest { page_token: page_token.to_owned(), ..v1::ListLimitsRequest::default() };
        assert_eq!(refused(&soon(client.list_limits(page)).await.unwrap_err()).0, "page_token");
    }
    let top = v1::ListConnectionsRequest { top: 1001 };
    assert_eq!(refused(&soon(client.list_connections(top)).await.unwrap_err()).0, "top");
    let nameless = v1::PauseConnectionRequest { key: None };
    assert_eq!(refused(&soon(client.pause_connection(nameless)).await.unwrap_err()).0, "key");
    for pause in [None, Some(span(Duration::ZERO)), Some(span(169 * HOUR))] {
        let penalty = v1::PenalizeConnectionRequest { key: key("any"), pause };
        assert_eq!(refused(&soon(client.penalize_connection(penalty)).await.unwrap_err()).0, "pause");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_deadline_that_grpc_does_not_write_is_refused_by_its_header() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut request = tonic::Request::new(asking(acquire("any", 5, HOUR)));
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(refused(&soon(client.acquire(request)).await.unwrap_err()).0, "grpc-timeout");
    server.stop().await;
}
