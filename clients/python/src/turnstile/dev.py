"""A node for development: it keeps everything in memory, and ends with the program that has started it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .client import Turnstile
from .errors import Unavailable

_ENDS_WITHIN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs."""

    address: str
    """Where it listens, ``HOST:PORT``."""
    pid: int
    """Its process."""

    @property
    def nodes(self) -> list[str]:
        """What :class:`~turnstile.Turnstile` takes."""
        return [self.address]

    def client(self) -> Turnstile:
        """A client of this node, to be closed by its caller."""
        return Turnstile(self.nodes)


@contextmanager
def node(*, binary: str | None = None, listen: str = "127.0.0.1:0") -> Iterator[Node]:
    """Runs ``turnstile node --memory`` while the ``with`` block does: ``with turnstile.dev.node() as node: client = node.client()``.

    :param binary: the program; without it the one that ``TURNSTILE_BIN`` names, or ``turnstile`` on the ``PATH``.
    :param listen: the address and port, where port 0 takes a free one.

    Raises ``FileNotFoundError`` when there is no such program, and :class:`~turnstile.Unavailable` when it does not start.
    """
    named = binary or os.environ.get("TURNSTILE_BIN") or "turnstile"
    path = shutil.which(named)
    if path is None:
        raise FileNotFoundError(f"{named} is no program on the PATH: build it by `cargo build --release --locked --features cli`")
    # Settings come from the flags, whatever the caller's environment has.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TURNSTILE_")}
    process = subprocess.Popen(
        [path, "node", "--memory", "--listen", listen, "--log", "error", "--until-input-ends"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise Unavailable(f"{path} has ended with code {process.wait()} before it served; it says why on standard error")
        yield Node(json.loads(line)["listening"], process.pid)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()
    try:
        process.wait(_ENDS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
