"""Several worker processes call one throttled function at random, and a report proves that its starts are a window apart.

    python examples/task_queue.py --seconds 60 --workers 4 --window 3

Without ``--nodes`` and ``TURNSTILE_NODES`` it runs a node of its own. The exit code is 1 when two starts were too close.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import turnstile.dev
from turnstile import RateLimit, Turnstile, throttle

LONGEST_PAUSE_SECONDS = 0.05
"""A worker's longest pause between two calls."""


@dataclass(frozen=True)
class Worked:
    """What one worker has seen."""

    throttled_seconds: list[float]
    """How long each call took that found no slot."""
    starts: list[int]
    """When the function started, by the monotonic clock, which all processes of a machine share; in nanoseconds."""


def work(seed: int, seconds: float, window: float, nodes: Sequence[str]) -> Worked:
    """A worker: calls the function again and again."""
    pauses = random.Random(seed)
    worked = Worked([], [])

    @throttle("examples/sync-all", rate=RateLimit(1, window), client=Turnstile(nodes))
    def sync_all() -> bool:
        worked.starts.append(time.monotonic_ns())
        print(f"worker {seed} syncs", flush=True)
        return True

    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        began = time.perf_counter()
        if sync_all() is None:
            worked.throttled_seconds.append(time.perf_counter() - began)
        time.sleep(pauses.uniform(0, LONGEST_PAUSE_SECONDS))
    return worked


def run(arguments: argparse.Namespace, nodes: Sequence[str]) -> list[Worked]:
    """Runs the workers, each in a process of its own. A call that raises ends them all."""
    with ProcessPoolExecutor(arguments.workers) as pool:
        # Each begins with another node, as workers on other machines would.
        orders = [[*nodes[first:], *nodes[:first]] for first in (seed % len(nodes) for seed in range(arguments.workers))]
        working = [pool.submit(work, seed, arguments.seconds, arguments.window, order) for seed, order in enumerate(orders)]
        return [one.result() for one in working]


def report(worked: Sequence[Worked], window: float) -> dict[str, object]:
    """What came of it, for programs."""
    starts = sorted(start for one in worked for start in one.starts)
    gaps = [(later - earlier) / 1e9 for earlier, later in pairwise(starts)]
    throttled = sorted(seconds for one in worked for seconds in one.throttled_seconds)

    def percentile(share: float) -> float:
        return throttled[min(int(len(throttled) * share), len(throttled) - 1)] if throttled else 0.0

    return {
        "started": len(starts),
        "throttled": len(throttled),
        "throttledSecondsP50": percentile(0.5),
        "throttledSecondsP99": percentile(0.99),
        "throttledSecondsLongest": percentile(1),
        "shortestGapSeconds": min(gaps, default=0.0),
        "longestGapSeconds": max(gaps, default=0.0),
        "isSpaced": all(gap >= window for gap in gaps),
    }


def main() -> int:
    """Runs, and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the workers call (default: 60)")
    parser.add_argument("--workers", type=int, default=4, help="how many processes (default: 4)")
    parser.add_argument("--window", type=float, default=3, help="the function starts at most once in so many seconds (default: 3)")
    parser.add_argument("--nodes", help="HOST:PORT, separated by commas (default: TURNSTILE_NODES, or a node of its own)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    with ExitStack() as ends:
        named = arguments.nodes or os.environ.get("TURNSTILE_NODES")
        nodes = named.split(",") if named else ends.enter_context(turnstile.dev.node()).nodes
        found = report(run(arguments, nodes), arguments.window)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"{found['started']} starts in {arguments.seconds:g} s by {arguments.workers} workers, at most 1 per {arguments.window:g} s")
        print(f"  shortest gap between two  {found['shortestGapSeconds']:.3f} s")
        print(f"  longest gap               {found['longestGapSeconds']:.3f} s")
        print(f"  calls without a slot      {found['throttled']}, back after {found['throttledSecondsP50']:.4f} s (median), ", end="")
        print(f"{found['throttledSecondsP99']:.4f} s (p99)")
        print("every two starts are a window apart" if found["isSpaced"] else "two starts were too close")
    return 0 if found["isSpaced"] else 1


if __name__ == "__main__":
    sys.exit(main())
