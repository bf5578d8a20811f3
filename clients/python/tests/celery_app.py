"""A Celery application of one throttled task, as a worker imports it from the folder that it runs in."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

from celery import Celery
from celery.signals import worker_init, worker_process_init, worker_ready

from turnstile import Connection, RateLimit, Turnstile, throttle

WINDOW = 0.5
TASKS = 300
BUSY = Connection("test", "celery-parent", rate_limit=RateLimit(1_000_000, 1))

client = Turnstile()
is_ready = threading.Event()

app = Celery("tests", broker="memory://")
app.conf.update(broker_transport_options={"polling_interval": 0.01}, worker_prefetch_multiplier=16)


def note(event: str) -> None:
    """Adds a line, in one piece whichever processes write."""
    with Path("log").open("ab", buffering=0) as log:
        log.write(f"{event} {os.getpid()} {time.monotonic_ns()}\n".encode())


@throttle("celery", rate=RateLimit(1, WINDOW), on_throttled=lambda: note("throttled"), client=client)
def sync() -> None:
    """What the task does, when it may."""
    note("started")


task = app.task(name="sync")(sync)


def use() -> None:
    """Has the session say and hear something all the time, until the children are there."""
    while not is_ready.is_set():
        client.acquire(BUSY).done()


def send() -> None:
    """Sends the tasks at random; by the worker's own process, which alone has a queue in its memory."""
    for _ in range(TASKS):
        task.delay()
        time.sleep(random.uniform(0, 0.02))


def begin(**_: object) -> None:
    """In the worker's own process, before it has children: they are forked while it calls."""
    sync()
    threading.Thread(target=use, daemon=True).start()


def forked(**_: object) -> None:
    """In each child."""
    note("forked" if client._lease._session is not None else "unused")


def ready(**_: object) -> None:
    """In the worker's own process, when it has its children."""
    is_ready.set()
    threading.Thread(target=send, daemon=True).start()


worker_init.connect(begin)
worker_process_init.connect(forked)
worker_ready.connect(ready)
