"""A Celery worker, whose pool is forked from a process that has used the decorated task."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from . import celery_app
from .celery_app import TASKS, WINDOW
from .support import MEASURED, NodeProcess, environment, wait_until

CHILDREN = 4


@contextmanager
def worker(folder: Path, node: NodeProcess) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with four children that runs in this folder, and is ended in order."""
    flags = ["--pool", "prefork", "--concurrency", str(CHILDREN), "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", *flags]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment() | {"TURNSTILE_NODES": node.address},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_prefork_pool_keeps_the_spacing_of_a_task_that_its_parent_has_used(node: NodeProcess, tmp_path: Path) -> None:
    shutil.copy(celery_app.__file__, tmp_path)

    def events() -> list[tuple[str, int, int]]:
        log = tmp_path / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(event, int(pid), int(at)) for event, pid, at in map(str.split, lines)]

    def calls() -> int:
        return sum(event in ("started", "throttled") for event, _, _ in events())

    with worker(tmp_path, node) as process:
        # Those of all tasks, and the parent's own: none is lost, and none hangs in a child.
        wait_until(lambda: calls() == TASKS + 1 or process.poll() is not None, within=30, what="an end of all tasks")
        assert calls() == TASKS + 1, (tmp_path / "said").read_text()
    found = events()
    assert Counter(event for event, _, _ in found)["forked"] == CHILDREN
    children = {pid for event, pid, _ in found if event == "throttled"}
    assert len(children) == CHILDREN
    assert process.pid not in children
    starts = sorted((at, pid) for event, pid, at in found if event == "started")
    assert [pid == process.pid for _, pid in starts] == [True] + [False] * (len(starts) - 1)
    gaps = [(later - earlier) / 1e9 for (earlier, _), (later, _) in pairwise(starts)]
    # The first gap lasts until there are children.
    longest = max(gaps[1:])
    MEASURED.append(f"{TASKS} tasks in {CHILDREN} Celery children: {len(starts)} starts {min(gaps):.3f} to {longest:.3f} s apart")
    assert min(gaps) >= WINDOW
    # The window, its margins, and what a task is late on a busy machine.
    assert longest < WINDOW + 0.5
