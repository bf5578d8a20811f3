from __future__ import annotations

import math
from typing import Any

import pytest

from turnstile import Connection, InvalidInput, RateLimit, Turnstile, WrongType

LIMIT = {"requestCount": 3, "windowSeconds": 60}


def test_the_original_shape_is_a_connection() -> None:
    shape = {"platform": "slack", "connection": "acme", "niceness": 5, "rateLimit": LIMIT}
    assert Connection.of(shape) == Connection("slack", "acme", 5, rate_limit=RateLimit(3, 60))


def test_niceness_is_0_where_it_is_not_said() -> None:
    assert Connection.of({"platform": "slack", "connection": "acme", "rateLimit": LIMIT}).niceness == 0


def test_several_limits_are_a_list() -> None:
    several = Connection.of({"platform": "a", "connection": "b", "rateLimits": [LIMIT, {"requestCount": 9, "windowSeconds": 0.5}]})
    assert several.rate_limits == (RateLimit(3, 60), RateLimit(9, 0.5))
    assert Connection("a", "b", rate_limit=[LIMIT, RateLimit(9, 0.5)]) == several


@pytest.mark.parametrize(
    ("shape", "field", "error"),
    [
        ({}, "rateLimit", InvalidInput),
        ({"rateLimit": LIMIT, "connection": "b"}, "platform", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "a"}, "connection", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "", "connection": "b"}, "platform", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "é" * 129, "connection": "b"}, "platform", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "a", "connection": "b\0"}, "connection", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "a", "connection": "\ud800"}, "connection", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "a", "connection": 7}, "connection", WrongType),
        ({"rateLimit": LIMIT, "platform": "a", "connection": "b", "niceness": -1}, "niceness", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "a", "connection": "b", "niceness": 2**32}, "niceness", InvalidInput),
        ({"rateLimit": LIMIT, "platform": "a", "connection": "b", "niceness": True}, "niceness", WrongType),
        ({"rateLimit": LIMIT, "platform": "a", "connection": "b", "nicenes": 1}, "nicenes", InvalidInput),
        ({"rateLimit": LIMIT, "rateLimits": [LIMIT], "platform": "a", "connection": "b"}, "rateLimits", InvalidInput),
        ({"rateLimits": [], "platform": "a", "connection": "b"}, "rateLimits", InvalidInput),
        ({"rateLimits": [LIMIT] * 9, "platform": "a", "connection": "b"}, "rateLimits", InvalidInput),
        ({"rateLimits": [LIMIT, {"requestCount": 1}], "platform": "a", "connection": "b"}, "rateLimits[1].windowSeconds", InvalidInput),
        ({"rateLimit": 5, "platform": "a", "connection": "b"}, "rateLimit", WrongType),
        ({"rateLimit": {**LIMIT, "requestCount": 0}, "platform": "a", "connection": "b"}, "rateLimit.requestCount", InvalidInput),
        ({"rateLimit": {**LIMIT, "requestCount": 1.5}, "platform": "a", "connection": "b"}, "rateLimit.requestCount", WrongType),
        ({"rateLimit": {**LIMIT, "windowSeconds": "60"}, "platform": "a", "connection": "b"}, "rateLimit.windowSeconds", WrongType),
        ({"rateLimit": {**LIMIT, "windowSeconds": 0.0009}, "platform": "a", "connection": "b"}, "rateLimit.windowSeconds", InvalidInput),
        ({"rateLimit": {**LIMIT, "windowSeconds": 604_801}, "platform": "a", "connection": "b"}, "rateLimit.windowSeconds", InvalidInput),
        ({"rateLimit": {**LIMIT, "windowSeconds": math.nan}, "platform": "a", "connection": "b"}, "rateLimit.windowSeconds", InvalidInput),
        ({"rateLimit": {**LIMIT, "windowSeconds": 10**400}, "platform": "a", "connection": "b"}, "rateLimit.windowSeconds", InvalidInput),
        ({"rateLimit": {**LIMIT, "algorithm": "luck"}, "platform": "a", "connection": "b"}, "rateLimit.algorithm", InvalidInput),
        ({"rateLimit": {**LIMIT, "burst": 2}, "platform": "a", "connection": "b"}, "rateLimit.burst", InvalidInput),
        ([], "connection", WrongType),
    ],
)
def test_a_wrong_shape_is_named_by_its_field(shape: Any, field: str, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as raised:
        Connection.of(shape)
    assert raised.value.field == field
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, TypeError) == (error is WrongType)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, "1s"), "window_seconds: is '1s': it takes a number of seconds"),
        ((3, 0), "window_seconds: is 0 s: it takes 0.001 s to 604800 s"),
        ((0, 1), "request_count: is 0: it takes 1 to 4294967295"),
    ],
)
def test_an_error_says_what_was_given_and_what_is_taken(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        RateLimit(*arguments)
    assert str(raised.value) == message


def test_what_is_neither_a_limit_nor_a_mapping_is_told_what_is() -> None:
    anything: Any = (3, 1)
    with pytest.raises(WrongType, match=r"^rate_limit\[0\]: is 3: it takes a RateLimit or a mapping$"):
        Connection("a", "b", rate_limit=anything)


def test_the_default_delivery_bound_is_that_of_the_nodes() -> None:
    bounds = [RateLimit(1, window).delivery_bound for window in (0.001, 2, 5, 10, 600)]
    assert bounds == [0.02, 0.02, 0.05, 0.1, 0.1]
    assert RateLimit(1, 1, delivery_bound_seconds=0).delivery_bound == 0


@pytest.mark.parametrize("nodes", [[], ["here"], ["a:0"], ["a:65536"], ["a:b"], "127.0.0.1:7878", [7], [":7878"], ["http://a:1"]])
def test_what_is_no_address_is_refused(nodes: Any) -> None:
    with pytest.raises(InvalidInput, match="nodes"):
        Turnstile(nodes)


def test_nodes_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNSTILE_NODES", "a:1, [::1]:2")
    assert Turnstile().nodes == ("a:1", "[::1]:2")
    monkeypatch.delenv("TURNSTILE_NODES")
    assert Turnstile().nodes == ("127.0.0.1:7878",)
