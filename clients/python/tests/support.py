"""Nodes as processes, to call and to kill."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = str(Path(os.environ.get("TURNSTILE_BIN", ROOT / "target/debug/turnstile")).resolve())

IS_LONG = bool(os.environ.get("TURNSTILE_TEST_LONG"))
"""Whether the long forms of the tests are asked for."""

_SERVES_WITHIN_SECONDS = 30

MEASURED: list[str] = []
"""What tests have measured, for whoever runs them."""


def environment() -> dict[str, str]:
    """Ours without settings of nodes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TURNSTILE_")}


def wait_until(condition: Callable[[], object], within: float = 10, what: str = "the condition") -> None:
    """Waits for something that comes about by itself."""
    ends_at = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends_at, f"{what} has not come about within {within} s"
        time.sleep(0.01)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, and that no system gives to who names none: they stay free until they are used."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_768)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports.append(port)
    return ports


@dataclass
class NodeProcess:
    """One node."""

    flags: list[str]
    process: subprocess.Popen[str] = field(init=False)
    address: str = ""

    def spawn(self) -> None:
        """Starts it; it listens for calls at a free port, which it keeps."""
        self.address = self.address or f"127.0.0.1:{free_ports(1)[0]}"
        self.process = subprocess.Popen(
            [BINARY, "node", "--log", "error", "--until-input-ends", "--listen", self.address, *self.flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def serves(self) -> None:
        """Waits until it serves."""
        assert self.process.stdout is not None
        said, _, _ = select.select([self.process.stdout], [], [], _SERVES_WITHIN_SECONDS)
        assert said, f"the node does not serve within {_SERVES_WITHIN_SECONDS} s"
        line = self.process.stdout.readline()
        assert line, "the node has ended before it served"
        assert json.loads(line)["listening"] == self.address

    def kill(self) -> None:
        """Ends it without a warning."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def pause(self) -> None:
        """Stops it where it is."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Ends it, whatever state it is in."""
        if not hasattr(self, "process"):
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@dataclass
class Cluster:
    """Three nodes."""

    nodes: list[NodeProcess]

    @classmethod
    def start(cls, directory: Path) -> Cluster:
        """Starts them; they serve at once."""
        peers = [f"127.0.0.1:{port}" for port in free_ports(3)]
        cluster = cls(
            [
                NodeProcess(
                    [
                        "--data",
                        str(directory / str(index)),
                        "--peer-listen",
                        peer,
                        "--peers",
                        ",".join(peers),
                        "--expect",
                        "3",
                        "--cold-start-hold",
                        "0s",
                    ]
                )
                for index, peer in enumerate(peers)
            ]
        )
        try:
            for node in cluster.nodes:
                node.spawn()
            for node in cluster.nodes:
                node.serves()
            wait_until(cluster.is_whole, within=30, what="a cluster of three that all own")
        except BaseException:
            cluster.end()
            raise
        return cluster

    @property
    def addresses(self) -> list[str]:
        """Where they listen."""
        return [node.address for node in self.nodes]

    def ask(self, *command: str) -> str:
        """What a command of the shell says."""
        asked = [BINARY, *command, "--node", ",".join(self.addresses)]
        return subprocess.run(asked, check=False, capture_output=True, text=True, env=environment(), timeout=30).stdout

    def is_whole(self) -> bool:
        """The three are one cluster, each of them owns connections, and all know it."""
        said = json.loads(self.ask("status", "--json"))
        rings = {(node.get("cluster"), node.get("epoch"), len(node.get("members", []))) for node in said["nodes"]}
        return len(rings) == 1 and all(members == 3 for _, _, members in rings)

    def owner(self, platform: str, connection: str) -> str:
        """The address of the node that owns a connection; empty while nobody does."""
        said = self.ask("owner", platform, connection, "--json")
        return str(json.loads(said)["address"]) if said else ""

    def at(self, address: str) -> NodeProcess:
        """The node that listens there."""
        return next(node for node in self.nodes if node.address == address)

    def end(self) -> None:
        """Ends all that run."""
        for node in self.nodes:
            node.end()
