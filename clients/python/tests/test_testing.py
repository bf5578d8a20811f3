from __future__ import annotations

import asyncio

import pytest

from turnstile import Connection, CostOverLimit, DeadlineExceeded, NotNow, NotOpen, RateLimit, Reconciled, TokenCount, Unavailable
from turnstile.testing import FakeTurnstile

SLACK = Connection("slack", "acme", rate_limit=[RateLimit(2, 10), RateLimit(3, 60)])
MODEL = Connection("openai", "acme", rate_limit=RateLimit(1000, 60, "tokens"))


def test_who_would_wait_moves_the_clock() -> None:
    fake = FakeTurnstile()
    starts = [fake.throttle(SLACK, lambda: fake.clock.now) for _ in range(5)]
    assert starts == [0, 0, 10, 60, 60]


def test_waits_have_their_ends() -> None:
    fake = FakeTurnstile()
    fake.acquire(SLACK, cost=2).done()
    with pytest.raises(NotNow) as refused:
        fake.acquire(SLACK, max_wait=9.9)
    assert refused.value.retry_after == 10
    with pytest.raises(DeadlineExceeded):
        fake.acquire(SLACK, timeout=4)
    assert fake.clock.now == 4
    with fake.acquire(SLACK, timeout=6) as permit:
        assert permit.waited == 6
    with pytest.raises(CostOverLimit):
        fake.acquire(SLACK, cost=3)


def test_slots_and_tokens_come_back() -> None:
    fake = FakeTurnstile()
    permit = fake.acquire(SLACK, cost=2)
    permit.give_back()
    assert fake.try_acquire(SLACK, cost=2) is not None
    with fake.acquire(MODEL, tokens=900) as permit:
        assert fake.try_acquire(MODEL, tokens=200) is None
        assert permit.reconcile(100).refunded.tokens == 800
    assert fake.try_acquire(MODEL, tokens=900) is not None


def test_what_can_not_be_reconciled_any_more_or_was_never_estimated_is_refused() -> None:
    fake = FakeTurnstile()
    # Its units count for longer than its tokens.
    model = Connection("openai", "hours", rate_limit=[RateLimit(9, 3600), RateLimit(1000, 60, "tokens")])
    in_time, late = fake.acquire(model, tokens=100), fake.acquire(model, tokens=800)
    fake.clock.advance(59.999)
    assert in_time.reconcile(40).refunded.tokens == 60
    fake.clock.advance(0.001)
    with pytest.raises(NotOpen):
        late.reconcile(5)
    with pytest.raises(NotOpen):
        fake.acquire(SLACK).reconcile(5)
    given_back, ended = fake.acquire(model), fake.acquire(model)
    given_back.give_back()
    ended.done()
    for permit in (given_back, ended):
        with pytest.raises(NotOpen):
            permit.reconcile(5)


def test_what_a_call_has_taken_beyond_its_estimate_counts_from_then_on() -> None:
    fake = FakeTurnstile()
    permit = fake.acquire(MODEL, tokens=600)
    fake.clock.advance(20)
    assert permit.reconcile(900).owed.tokens == 300
    assert fake.try_acquire(MODEL, tokens=101) is None
    fake.clock.advance(40)
    # The estimate has left the window; what is owed leaves it later.
    assert fake.try_acquire(MODEL, tokens=701) is None
    assert fake.throttle(MODEL, lambda: fake.clock.now, tokens=701) == 80
    # More than the limit has is nothing but a longer wait.
    assert fake.acquire(Connection("openai", "one", rate_limit=RateLimit(10, 60, "tokens"))).reconcile(5000).owed.tokens == 4999


def test_what_a_call_has_taken_counts_once() -> None:
    fake = FakeTurnstile()
    permit = fake.acquire(MODEL, tokens=900)
    assert permit.reconcile(500).refunded.tokens == 400
    for used in (500, 0, 5000):
        with pytest.raises(NotOpen):
            permit.reconcile(used)
    assert fake.try_acquire(MODEL, tokens=501) is None
    assert fake.try_acquire(MODEL, tokens=500) is not None


def test_tokens_that_go_in_and_come_out_are_reconciled_by_the_limits_that_count_them() -> None:
    fake = FakeTurnstile()
    model = Connection("openai", "apart", rate_limit=RateLimit(100, 60, "input_tokens"))
    reconciled = fake.acquire(model, input_tokens=10, output_tokens=5).reconcile(input_tokens=7, output_tokens=9)
    assert reconciled == Reconciled(refunded=TokenCount(input_tokens=3), owed=TokenCount(tokens=1, output_tokens=4))


def test_a_slot_counts_by_its_own_limits_whoever_comes_later_with_shorter_ones() -> None:
    fake = FakeTurnstile()
    hourly, often = (Connection("slack", "both", rate_limit=limit) for limit in (RateLimit(2, 3600), RateLimit(5, 1)))
    fake.acquire(hourly).done()
    fake.clock.advance(2)
    fake.acquire(often).done()
    assert fake.try_acquire(hourly) is None


def test_nodes_can_be_out_of_reach() -> None:
    fake = FakeTurnstile(is_reachable=False)
    with pytest.raises(Unavailable):
        fake.acquire(SLACK)
    fake.is_reachable = True
    permit = fake.acquire(MODEL)
    fake.is_reachable = False
    with pytest.raises(Unavailable):
        permit.reconcile(5)
    assert fake.try_throttle(SLACK, lambda: 1) is None
    assert fake.try_throttle(SLACK, lambda: 1, on_unreachable="open") == 1


def test_what_a_function_returns_that_is_not_async_is_not_lost() -> None:
    async def main() -> None:
        fake = FakeTurnstile()
        assert await fake.aio.throttle(SLACK, lambda: "answer") == "answer"  # type: ignore[arg-type, return-value]
        assert await fake.aio.try_throttle(SLACK, lambda: "answer") == "answer"  # type: ignore[arg-type, return-value, func-returns-value]

    asyncio.run(main())


def test_asyncio_has_the_same() -> None:
    async def main() -> None:
        fake = FakeTurnstile()

        async def now() -> float:
            return fake.clock.now

        assert [await fake.aio.throttle(SLACK, now) for _ in range(3)] == [0, 0, 10]
        assert await fake.aio.try_throttle(SLACK, now) is None
        async with fake.aio.acquire(SLACK) as permit:
            assert permit.waited == 50

    asyncio.run(main())
