"""A TCP connection with one node, and whether it is alive.

Promises: never blocks; a node that is silent for longer than it may is noticed.
"""

from __future__ import annotations

import selectors
import socket
import time

from ._grpc import Broken, Event, GrpcConnection

ANSWERS_WITHIN_SECONDS = 1.0
"""How long a node has to answer, and how long its silence is borne before it is asked for a sign of life."""

_READ_BYTES = 256 * 1024


def split_address(node: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``. IPv6 addresses are in brackets.

    Raises ``ValueError`` with the rule.
    """
    host, colon, port = node.rpartition(":")
    if not colon or not host or "/" in host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"is {node!r}: it takes HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        # Here and not in the thread that connects: it may import, and a fork in the middle of an import is not to be survived.
        return host.encode("idna").decode("ascii"), int(port)
    except UnicodeError as error:
        raise ValueError(f"is {node!r}: {host!r} is no host name") from error


def connect(node: str, turn: int) -> socket.socket:
    """A connection with the node at this address. Blocks while its name is looked up, too.

    Each ``turn`` begins with another address of a name that has several, for one that says nothing takes all the time that there is.
    """
    host, port = split_address(node)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    first = turn % len(found)
    ends_at = time.monotonic() + ANSWERS_WITHIN_SECONDS
    for family, kind, protocol, _, address in (*found[first:], *found[:first]):
        reached = socket.socket(family, kind, protocol)
        try:
            reached.settimeout(max(ends_at - time.monotonic(), 0.001))
            reached.connect(address)
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reached.setblocking(False)
        except OSError as error:
            reached.close()
            refusal = error
        else:
            return reached
    raise refusal


class Link:
    """Speaks gRPC over a connected socket that does not block."""

    def __init__(self, connected: socket.socket, node: str) -> None:
        self.socket = connected
        self.node = node
        self.grpc = GrpcConnection(node)
        self._unsent = b""
        self._heard_at = time.monotonic()
        self._asked_at: float | None = None

    def interests(self) -> int:
        """What the socket is watched for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def read(self) -> list[Event]:
        """What the node has said since.

        Raises :class:`Broken`.
        """
        try:
            data = self.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise Broken(f"the connection is broken: {error}") from error
        if not data:
            raise Broken("the node has closed the connection")
        self._heard_at = time.monotonic()
        self._asked_at = None
        return self.grpc.receive(data)

    def write(self) -> None:
        """Writes what there is to say, as far as the socket takes it.

        Raises :class:`Broken`.
        """
        self._unsent += self.grpc.data_to_send()
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise Broken(f"the connection is broken: {error}") from error
            self._unsent = self._unsent[sent:]

    @property
    def is_written(self) -> bool:
        """Whether the socket has taken everything."""
        return not self._unsent

    def look_after(self, now: float) -> float:
        """Asks a silent node for a sign of life. When to look again. To be called when everything that has come was read.

        Raises :class:`Broken` when there was no sign in time.
        """
        if self._asked_at is not None:
            if now >= self._asked_at + ANSWERS_WITHIN_SECONDS:
                raise Broken(f"the node has been silent for {now - self._heard_at:.1f} s")
            return self._asked_at + ANSWERS_WITHIN_SECONDS
        if now >= self._heard_at + ANSWERS_WITHIN_SECONDS:
            self.grpc.ping()
            self._asked_at = now
            return now + ANSWERS_WITHIN_SECONDS
        return self._heard_at + ANSWERS_WITHIN_SECONDS

    def close(self) -> None:
        """Ends it. In a process that was forked this ends its own hold of the connection only: the parent's goes on."""
        self.socket.close()
