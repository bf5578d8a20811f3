from __future__ import annotations

import asyncio
import itertools
import time
import urllib.request
from typing import Any

import pytest

from turnstile import AsyncTurnstile, Closed, Connection, DeadlineExceeded, RateLimit, Turnstile, Unavailable, WrongType, throttle

from .support import MEASURED, NodeProcess, free_ports, wait_until

SPACING = 0.3


def limited(name: str, count: int = 1, window: float = SPACING) -> Connection:
    return Connection("test", name, rate_limit=RateLimit(count, window))


def metric(node: NodeProcess, metric_name: str) -> float:
    """A metric of a node, over all labels."""
    with urllib.request.urlopen(f"http://{node.address}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric_name) and not line.startswith("#"))


async def queued(node: NodeProcess, count: int) -> None:
    """Waits until so many wait at a node."""
    await asyncio.to_thread(wait_until, lambda: metric(node, "turnstile_queued_requests") == count, what=f"a queue of {count}")


def test_calls_are_a_window_apart(shared_node: NodeProcess, name: str) -> None:
    async def main() -> list[float]:
        starts: list[float] = []

        async def call() -> None:
            starts.append(time.monotonic())

        async with AsyncTurnstile([shared_node.address]) as client:
            await asyncio.gather(*(client.throttle(limited(name), call) for _ in range(3)))
        return starts

    starts = asyncio.run(main())
    assert all(later - earlier >= SPACING for earlier, later in itertools.pairwise(starts))


def test_acquire_is_awaited_or_entered(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        async with AsyncTurnstile([shared_node.address]) as client:
            async with client.acquire(limited(name, 2, 60), tokens=3) as permit:
                assert permit.start_within is not None
                permit.give_back()
            first = await client.acquire(limited(name, 2, 60))
            first.done()
            assert await client.try_acquire(limited(name, 2, 60)) is not None
            assert await client.try_acquire(limited(name, 2, 60)) is None
            with pytest.raises(DeadlineExceeded):
                await client.acquire(limited(name, 2, 60), timeout=0.1)

    asyncio.run(main())


def test_acquire_is_made_a_task_as_coroutines_are(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        async with AsyncTurnstile([shared_node.address]) as client:
            connection = limited(name, 3, 60)
            waits = [
                asyncio.create_task(client.acquire(connection)),
                asyncio.ensure_future(client.acquire(connection)),
                asyncio.wait_for(client.acquire(connection), 5),
            ]
            for permit in await asyncio.gather(*waits):
                permit.done()
            waiter = asyncio.create_task(client.acquire(connection))
            await queued(shared_node, 1)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter

    asyncio.run(main())


def test_who_forgets_to_await_is_warned(name: str) -> None:
    with pytest.warns(RuntimeWarning, match="acquire.* was never awaited"):
        AsyncTurnstile().acquire(limited(name))


def test_tokens_are_reconciled(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        model = Connection("test", name, rate_limit=RateLimit(1000, 60, "tokens"))
        async with AsyncTurnstile([shared_node.address]) as client, client.acquire(model, tokens=900) as permit:
            assert (await permit.reconcile(1000)).owed.tokens == 100

    asyncio.run(main())


def test_five_hundred_reconciles_at_once_are_all_told_though_the_node_takes_fewer(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        model = Connection("test", name, rate_limit=RateLimit(1000, 60, "tokens"))
        async with AsyncTurnstile([shared_node.address]) as client:
            permits = [await client.acquire(model, tokens=2) for _ in range(500)]
            told = await asyncio.gather(*(permit.reconcile(1) for permit in permits))
            assert [one.refunded.tokens for one in told] == [1] * 500
            assert (await client.acquire(model, tokens=500, timeout=5)).waited < 5

    asyncio.run(main())


def test_of_a_thousand_that_wait_on_one_stream_those_cancelled_leave_and_the_one_left_is_served(node: NodeProcess, name: str) -> None:
    async def main() -> None:
        async with AsyncTurnstile([node.address]) as client:
            connection = limited(name, window=1.5)
            (await client.acquire(connection)).done()
            waiters = [asyncio.create_task(client.acquire(connection)) for _ in range(1000)]
            await queued(node, 1000)
            assert metric(node, "turnstile_sessions") == 1
            left = waiters.pop(500)
            for waiter in waiters:
                waiter.cancel()
            ended = await asyncio.gather(*waiters, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended)
            permit = await asyncio.wait_for(left, 5)
            permit.done()
            assert metric(node, "turnstile_queued_requests") == 0
            assert metric(node, "turnstile_grants_total") == 2

    asyncio.run(main())


def test_a_thousand_waits_on_one_stream_are_all_served_in_order(node: NodeProcess, name: str) -> None:
    async def main() -> None:
        releases: list[tuple[int, int]] = []
        async with AsyncTurnstile([node.address]) as client:
            # Of any age: a slot that came too late through the crowd would be asked for again, in a later place.
            connection = Connection("test", name, rate_limit=RateLimit(500, 0.5, delivery_bound_seconds=0))

            async def one(number: int) -> None:
                async with client.acquire(connection) as permit:
                    releases.append((permit.release, number))

            began = time.monotonic()
            await asyncio.gather(*(one(number) for number in range(1000)))
            MEASURED.append(f"1,000 waits on one stream took {time.monotonic() - began:.3f} s")
            assert metric(node, "turnstile_sessions") == 1
        # By the owner's numbers: a loop wakes tasks whose slots came together as it likes.
        assert [number for _, number in sorted(releases)] == list(range(1000))

    asyncio.run(main())


def test_who_is_cancelled_when_the_slot_has_come_gives_it_back(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        async with AsyncTurnstile([shared_node.address]) as client:
            connection = limited(name, window=60)
            session, before = client._lease.session, metric(shared_node, "turnstile_grants_total")
            waiter = asyncio.create_task(client.acquire(connection))
            # One turn of the loop sends it off. The answer comes while the loop is held up, and the cancel before the loop has seen it.
            await asyncio.sleep(0)
            wait_until(lambda: metric(shared_node, "turnstile_grants_total") > before and session._conversation.is_idle, what="the slot")
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            async with client.acquire(connection, timeout=5):
                pass

    asyncio.run(main())


def test_who_is_cancelled_while_no_node_is_there_asks_none_that_comes(name: str) -> None:
    node = NodeProcess(["--memory"], address=f"127.0.0.1:{free_ports(1)[0]}")

    async def main() -> None:
        async with AsyncTurnstile([node.address]) as client:
            waiter = asyncio.create_task(client.acquire(limited(name)))
            # One turn of the loop begins the wait.
            await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            node.spawn()
            await asyncio.to_thread(node.serves)
            (await client.acquire(limited(name))).done()
            assert metric(node, "turnstile_grants_total") == 1

    try:
        asyncio.run(main())
    finally:
        node.end()


def test_a_call_that_is_cancelled_while_it_runs_keeps_its_slot(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        has_begun = asyncio.Event()

        async def call() -> None:
            has_begun.set()
            await asyncio.Event().wait()

        async with AsyncTurnstile([shared_node.address]) as client:
            calling = asyncio.create_task(client.throttle(limited(name, window=60), call))
            await asyncio.wait_for(has_begun.wait(), 10)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            assert await client.try_acquire(limited(name, window=60)) is None

    asyncio.run(main())


def test_a_function_that_raises_runs_once_and_one_that_returns_none_has_run(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        ran: list[str] = []

        async def raises() -> None:
            ran.append("raises")
            raise KeyError("mine")

        async def returns_none() -> None:
            ran.append("returns")

        async with AsyncTurnstile([shared_node.address]) as client:
            connection = limited(name, count=2, window=60)
            with pytest.raises(KeyError, match="mine"):
                await client.throttle(connection, raises)
            await client.throttle(connection, returns_none)
            await client.try_throttle(connection, returns_none)
            assert ran == ["raises", "returns"]

    asyncio.run(main())


def test_what_can_not_be_called_is_named_before_a_slot_is_used(shared_node: NodeProcess, name: str) -> None:
    async def main() -> None:
        nothing: Any = None
        async with AsyncTurnstile([shared_node.address]) as client:
            for throttled in (client.throttle, client.try_throttle):
                with pytest.raises(WrongType, match="fn"):
                    await throttled(limited(name, window=60), nothing)
            assert await client.try_acquire(limited(name, window=60)) is not None

    asyncio.run(main())


def test_a_node_that_is_not_there(name: str) -> None:
    async def main() -> None:
        async with AsyncTurnstile([f"127.0.0.1:{free_ports(1)[0]}"]) as client:
            with pytest.raises(Unavailable):
                await client.try_acquire(limited(name))
            with pytest.raises(DeadlineExceeded):
                await client.acquire(limited(name), timeout=0.2)

            async def call() -> int:
                return 1

            assert await client.try_throttle(limited(name), call) is None
            assert await client.try_throttle(limited(name), call, on_unreachable="open") == 1

    asyncio.run(main())


def test_an_async_function_is_decorated(client: Turnstile, name: str) -> None:
    @throttle(name, rate=RateLimit(1, 60), client=client, on_throttled="later")
    async def call(word: str) -> str:
        await asyncio.sleep(0)
        return word

    async def main() -> list[str]:
        return [await call("now"), await call("again")]

    assert asyncio.run(main()) == ["now", "later"]


def test_both_forms_of_a_client_are_closed_together(name: str) -> None:
    async def main() -> None:
        blocking = Turnstile([f"127.0.0.1:{free_ports(1)[0]}"])
        async with blocking.aio as client:
            with pytest.raises(Unavailable):
                await client.try_acquire(limited(name))
        for acquire in (lambda: asyncio.to_thread(blocking.acquire, limited(name)), lambda: client.acquire(limited(name))):
            with pytest.raises(Closed):
                await acquire()

    asyncio.run(main())


def test_the_session_survives_its_loop(client: Turnstile, name: str) -> None:
    connection = limited(name, count=3, window=60)
    for _ in range(3):

        async def main() -> None:
            (await client.aio.acquire(connection)).done()

        asyncio.run(main())
    assert client.try_acquire(connection) is None
