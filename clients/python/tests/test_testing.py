from __future__ import annotations

import asyncio

import pytest

from turnstile import Connection, CostOverLimit, DeadlineExceeded, NotNow, NotOpen, RateLimit, Unavailable
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
    late = fake.acquire(MODEL)
    fake.clock.advance(60)
    fake.acquire(MODEL).done()
    with pytest.raises(NotOpen):
        late.reconcile(5)


def test_nodes_can_be_out_of_reach() -> None:
    fake = FakeTurnstile(is_reachable=False)
    with pytest.raises(Unavailable):
        fake.acquire(SLACK)
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
