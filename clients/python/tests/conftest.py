from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnstile import Turnstile

from .support import MEASURED, Cluster, NodeProcess


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what was measured."""
    if MEASURED:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(MEASURED))


@contextmanager
def served() -> Iterator[NodeProcess]:
    """A node that serves, and ends however it goes."""
    node = NodeProcess(["--memory"])
    try:
        node.spawn()
        node.serves()
        yield node
    finally:
        node.end()


@pytest.fixture(scope="session")
def shared_node() -> Iterator[NodeProcess]:
    """A node that nobody kills."""
    with served() as node:
        yield node


@pytest.fixture
def node() -> Iterator[NodeProcess]:
    """A node for one test, to be killed."""
    with served() as node:
        yield node


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes for one test."""
    cluster = Cluster.start(tmp_path)
    yield cluster
    cluster.end()


@pytest.fixture
def client(shared_node: NodeProcess) -> Iterator[Turnstile]:
    """A client of the node that nobody kills."""
    with Turnstile([shared_node.address]) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A connection that no other test uses."""
    return uuid.uuid4().hex
