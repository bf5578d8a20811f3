"""Processes that share three nodes, of which one is killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from turnstile import AsyncTurnstile, Connection, DeadlineExceeded, NotNow, RateLimit, Turnstile, TurnstileError, Unavailable, throttle

from .support import BINARY, IS_LONG, MEASURED, Cluster, NodeProcess, environment, wait_until

EXAMPLE = Path(__file__).parents[1] / "examples/task_queue.py"
SECONDS, WINDOW = 60.0 if IS_LONG else 15.0, 3.0


def longest_gap(nodes: list[str], noise: Noise) -> float:
    """How far two starts may be apart: by the window, its margins, the longest pause of all workers, and what a busy machine takes."""
    guard = max(WINDOW / 200, 0.01) + WINDOW / 2000
    # While commits are slow the nodes keep more of each window for the way of a grant: four times the slowest.
    delivery = max(WINDOW / 100, 0.02, 4 * max(map(slowest_commit, nodes)))
    return WINDOW + guard + delivery + 0.05 + 0.25 + 4 * noise.seconds


def slowest_commit(node: str) -> float:
    """What the slowest commit of a node took at most, in seconds."""
    with urllib.request.urlopen(f"http://{node}/metrics", timeout=5) as answer:
        return slowest(answer.read().decode())


def slowest(metrics: str) -> float:
    """The bound of the last bucket that any commit is in; 0 without commits."""
    buckets = re.findall(r'^turnstile_commit_latency_seconds_bucket.*le="([^"]+)"} (\d+)$', metrics, re.MULTILINE)
    commits = int(buckets[-1][1]) if buckets else 0
    if not commits:
        return 0
    bound = next(float(bound) for bound, count in buckets if int(count) == commits)
    # Of the last bucket, which has no bound: nothing could be judged by it.
    assert math.isfinite(bound), f"a commit was slower than any bucket: {buckets}"
    return bound


def test_a_commit_of_any_length_is_nothing_to_judge_by() -> None:
    counts = 'turnstile_commit_latency_seconds_bucket{le="0.1"} 3\nturnstile_commit_latency_seconds_bucket{le="+Inf"} %d\n'
    assert slowest("") == slowest('turnstile_commit_latency_seconds_bucket{le="+Inf"} 0') == 0
    assert slowest(counts % 3) == 0.1
    with pytest.raises(AssertionError, match="slower than any bucket"):
        slowest(counts % 4)


@contextmanager
def start(nodes: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Four processes that call one function, and end however it goes."""
    flags = ["--seconds", str(SECONDS), "--window", str(WINDOW), "--nodes", ",".join(nodes), "--workers", "4", "--json"]
    command = [sys.executable, "-u", str(EXAMPLE), *flags]
    # A group of their own, for the workers are not ours to find.
    example = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True)
    overdue = threading.Timer(SECONDS + 60, os.killpg, (example.pid, signal.SIGKILL))
    overdue.start()
    try:
        with example:
            yield example
            assert example.wait(10) == 0
    finally:
        overdue.cancel()
        if example.poll() is None:
            os.killpg(example.pid, signal.SIGKILL)
            example.wait()


class Noise:
    """How late the machine wakes those who sleep: what other work on it costs each of the hops of a call."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._measure)

    def _measure(self) -> None:
        while not self._is_over.is_set():
            began = time.perf_counter()
            time.sleep(0.005)
            self._late.append(time.perf_counter() - began - 0.005)

    def __enter__(self) -> Noise:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """The 99th percentile."""
        return sorted(self._late)[len(self._late) * 99 // 100]


def judge(lines: list[str], nodes: list[str], noise: Noise) -> dict[str, Any]:
    """Every two starts are a window apart, gaps are bounded, and no call has raised. What the example has found."""
    found: dict[str, Any] = json.loads(lines[-1])
    longest = longest_gap(nodes, noise)
    MEASURED.append(
        f"{found['started']} starts {found['shortestGapSeconds']:.3f} to {found['longestGapSeconds']:.3f} s apart (at most {longest:.3f}), "
        f"{found['throttled']} throttled calls: p50 {found['throttledSecondsP50']:.4f} s, p99 {found['throttledSecondsP99']:.4f} s"
    )
    assert found["isSpaced"]
    assert found["shortestGapSeconds"] >= WINDOW
    assert found["longestGapSeconds"] <= longest
    assert found["started"] >= SECONDS / longest - 1
    assert found["throttled"] > SECONDS * 40
    return found


def test_four_processes_start_a_function_once_in_each_window(shared_node: NodeProcess) -> None:
    with start([shared_node.address]) as example:
        assert example.stdout is not None
        with Noise() as noise:
            lines = example.stdout.readlines()
        found = judge(lines, [shared_node.address], noise)
    # 3 to 5 ms where processes are woken in time. Where they are not, because others want more than the cores, each of the hops of a call
    # (to the session's thread, to the node, and back) waits for its turn, of which the node and the client are innocent.
    assert found["throttledSecondsP99"] < 0.02 + 4 * noise.seconds


def test_the_owner_killed_in_the_middle_changes_neither(cluster: Cluster) -> None:
    began = time.monotonic()
    owner = cluster.at(cluster.owner("function", "examples/sync-all"))
    with start(cluster.addresses) as example:
        assert example.stdout is not None
        lines, is_killed = [], False
        with Noise() as noise:
            for line in example.stdout:
                lines.append(line)
                if not is_killed and time.monotonic() > began + SECONDS / 2:
                    # In the middle of the window that has just begun: the next start is due after the others have missed it.
                    time.sleep(WINDOW / 4)
                    owner.kill()
                    is_killed = True
        assert is_killed
        judge(lines, [address for address in cluster.addresses if address != owner.address], noise)


def test_who_waits_is_served_in_order_and_within_the_limit_when_the_owner_is_killed(cluster: Cluster) -> None:
    owner = cluster.owner("test", "ordered")
    # It speaks with the owner itself, so its session ends, too.
    nodes = [owner, *(address for address in cluster.addresses if address != owner)]
    same = next(name for name in map(str, itertools.count()) if cluster.owner("test", name) == owner)
    # Who is reached too late waits again and others may go first, as happens on a busy machine: order is judged where nobody is too late,
    # and the limit where nobody may be.
    ordered = Connection("test", "ordered", rate_limit=RateLimit(1, 0.5, delivery_bound_seconds=0))
    spaced = Connection("test", same, rate_limit=RateLimit(1, 0.5))
    starts: dict[Connection, list[tuple[float, int]]] = {ordered: [], spaced: []}

    async def main() -> None:
        async with AsyncTurnstile(nodes) as client:

            async def call(connection: Connection, number: int) -> None:
                async with client.acquire(connection):
                    starts[connection].append((time.monotonic(), number))

            calls = []
            for number in range(8):
                calls += [asyncio.create_task(call(connection, number)) for connection in starts]
                # Ages tell them apart at the next owner.
                await asyncio.sleep(0.02)
            await asyncio.to_thread(cluster.at(owner).kill)
            await asyncio.wait_for(asyncio.gather(*calls), 60)

    asyncio.run(main())
    assert [number for _, number in starts[ordered]] == list(range(8))
    assert len(starts[spaced]) == 8
    gaps = {connection: [later[0] - earlier[0] for earlier, later in itertools.pairwise(times)] for connection, times in starts.items()}
    MEASURED.append(f"waits through a kill: {min(gaps[spaced]):.3f} to {max(gaps[ordered]):.3f} s apart")
    assert min(gaps[spaced]) >= 0.5
    assert max(gaps[ordered]) < 4


@pytest.mark.parametrize("left", [0, 2], ids=["its-node-is-left", "its-node-is-killed"])
def test_without_a_majority_calls_end_as_they_said_and_who_waits_is_served_when_there_is_one_again(cluster: Cluster, left: int) -> None:
    connection = Connection("test", "majority", rate_limit=RateLimit(100, 1))
    others = [node for node in cluster.nodes if node is not cluster.nodes[left]]
    with Turnstile(cluster.addresses) as client:
        client.acquire(connection, timeout=20).done()

        @throttle("majority", rate=RateLimit(100, 1), client=client, on_throttled="throttled")
        def closed() -> str:
            return "ran"

        @throttle("majority-open", rate=RateLimit(100, 1), client=client, on_unreachable="open")
        def opened() -> str:
            return "ran"

        for node in others:
            node.kill()
        asks: list[tuple[Callable[[], object], tuple[type[TurnstileError], ...]]] = [
            (lambda: client.acquire(connection, timeout=1.5), (DeadlineExceeded,)),
            # By the owner itself if it is the one that is left: the wait has become too long.
            (lambda: client.acquire(connection, max_wait=0.5), (Unavailable, NotNow)),
            (lambda: client.try_acquire(connection), (Unavailable,)),
        ]
        for ask, errors in asks:
            began = time.monotonic()
            with pytest.raises(errors):
                ask()
            assert time.monotonic() - began < 3
        began = time.monotonic()
        assert (closed(), opened()) == ("throttled", "ran")
        assert time.monotonic() - began < 3

        served = threading.Event()
        waiter = threading.Thread(target=lambda: client.throttle(connection, served.set, timeout=60))
        waiter.start()
        assert not served.wait(1)
        others[0].spawn()
        try:
            assert served.wait(30)
        finally:
            waiter.join()
        wait_until(lambda: closed() == "ran", what="a try that is served")


@pytest.mark.skipif(not IS_LONG, reason="set TURNSTILE_TEST_LONG=1 for the long forms")
def test_all_nodes_killed_one_after_the_other_lose_nobody(cluster: Cluster) -> None:
    connection = Connection("test", "rolling", rate_limit=RateLimit(20, 1))
    starts: list[float] = []
    with Turnstile(cluster.addresses) as client:
        is_over = threading.Event()

        def call() -> None:
            while not is_over.is_set():
                client.throttle(connection, lambda: starts.append(time.monotonic()))

        threads = [threading.Thread(target=call) for _ in range(50)]
        for thread in threads:
            thread.start()
        for node in cluster.nodes:
            time.sleep(3)
            node.kill()
            time.sleep(3)
            node.spawn()
            node.serves()
        is_over.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    MEASURED.append(f"{len(starts)} calls while each node was killed in turn")
    assert all(later - earlier >= 1 for earlier, later in zip(starts, starts[20:], strict=False))


def test_the_binary_is_there() -> None:
    assert Path(BINARY).is_file(), f"{BINARY} is missing: cargo build --locked --features cli"
