from __future__ import annotations

from typing import Any

import pytest

from turnstile import Connection, InvalidInput, RateLimit, Turnstile, WrongType, throttle
from turnstile.testing import FakeTurnstile, installed

from .support import free_ports

ONCE = RateLimit(1, 60)


def test_a_call_without_a_slot_returns_none_and_the_next_window_has_one() -> None:
    fake = FakeTurnstile()
    calls: list[int] = []

    @throttle("sync", rate={"requestCount": 2, "windowSeconds": 3}, client=fake)
    def sync(number: int) -> int:
        """Documented."""
        calls.append(number)
        return number

    assert [sync(number) for number in range(4)] == [0, 1, None, None]
    fake.clock.advance(2.999)
    assert sync(4) is None
    fake.clock.advance(0.001)
    assert sync(5) == 5
    assert calls == [0, 1, 5]
    assert (sync.__name__, sync.__doc__) == ("sync", "Documented.")


def test_the_key_is_a_name_or_the_functions_own_or_of_its_arguments() -> None:
    fake = FakeTurnstile()

    @throttle(rate=ONCE, client=fake)
    def own() -> str:
        return "ran"

    @throttle(rate=ONCE, key=lambda tenant, **_: f"sync/{tenant}", client=fake, platform="jobs")
    def by_tenant(tenant: str, force: bool = False) -> str:
        return tenant

    assert own() == "ran"
    assert fake.try_acquire(Connection("function", f"{__name__}.{own.__qualname__}", rate_limit=ONCE)) is None
    assert [by_tenant("a"), by_tenant("b", force=True), by_tenant("a")] == ["a", "b", None]
    assert fake.try_acquire(Connection("jobs", "sync/b", rate_limit=ONCE)) is None


def test_methods_are_taken() -> None:
    class Job:
        @throttle("job", rate=ONCE, client=FakeTurnstile())
        def run(self) -> Job:
            return self

    job = Job()
    assert job.run() is job
    assert Job().run() is None


@pytest.mark.parametrize(("on_throttled", "answer"), [("later", "later"), (0, 0), (lambda word: f"not {word}", "not now")])
def test_what_a_call_without_a_slot_returns_is_said(on_throttled: object, answer: object) -> None:
    @throttle("answer", rate=ONCE, client=FakeTurnstile(), on_throttled=on_throttled)
    def call(word: str) -> str:
        return word

    assert [call("now"), call("now")] == ["now", answer]


@pytest.mark.parametrize(("release_on_error", "runs"), [(False, 1), (True, 2)])
def test_a_function_that_raises_keeps_its_slot_unless_it_is_released(release_on_error: bool, runs: int) -> None:
    ran: list[int] = []

    @throttle("raises", rate=ONCE, client=FakeTurnstile(), release_on_error=release_on_error)
    def raises() -> None:
        ran.append(1)
        raise KeyError

    with pytest.raises(KeyError):
        raises()
    try:
        raises()
    except KeyError:
        assert release_on_error
    assert len(ran) == runs


def test_without_nodes_it_is_closed_or_open() -> None:
    nobody = Turnstile([f"127.0.0.1:{free_ports(1)[0]}"])

    @throttle("closed", rate=ONCE, client=nobody, on_throttled="nobody")
    def closed() -> str:
        return "ran"

    @throttle("open", rate=ONCE, client=nobody, on_unreachable="open")
    def opened() -> str:
        return "ran"

    assert [closed(), opened(), opened()] == ["nobody", "ran", "ran"]
    nobody.close()


def test_the_default_client_can_be_replaced() -> None:
    @throttle("default", rate=ONCE)
    def call() -> str:
        return "ran"

    with installed() as fake:
        assert [call(), call()] == ["ran", None]
        fake.clock.advance(60)
        assert call() == "ran"


@pytest.mark.parametrize(
    ("arguments", "field", "error"),
    [
        ({"rate": 5}, "rate", WrongType),
        ({"rate": {"requestCount": 0, "windowSeconds": 1}}, "rate.requestCount", InvalidInput),
        ({"rate": ONCE, "name": ""}, "name", InvalidInput),
        ({"rate": ONCE, "name": print}, "name", WrongType),
        ({"rate": ONCE, "name": "a", "key": str}, "key", InvalidInput),
        ({"rate": ONCE, "key": "a"}, "key", WrongType),
        ({"rate": ONCE, "on_unreachable": "ajar"}, "on_unreachable", InvalidInput),
    ],
)
def test_a_wrong_argument_is_named_when_the_function_is_decorated(arguments: dict[str, Any], field: str, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as refused:
        throttle(**arguments)
    assert refused.value.field == field
