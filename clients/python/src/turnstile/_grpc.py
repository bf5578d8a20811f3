"""gRPC over one HTTP/2 connection, without I/O: bytes in, events and bytes out.

Promises: what is sent goes out in order, within the peer's windows; every stream ends once.
Must not: touch a socket, a thread or a clock. So nothing of it is shared with a process that was forked.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

UNAVAILABLE = 14
"""The code of what works later, or elsewhere."""

_UNKNOWN = 2
_PREFIX = struct.Struct(">BI")
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class Broken(Exception):
    """The peer does not speak as it should, or no more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer has taken up a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the peer."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer has ended a stream."""

    stream: int
    code: int
    message: str
    details: bytes


Event: TypeAlias = Opened | Message | Ended


@dataclass(slots=True)
class _Stream:
    outgoing: bytearray = field(default_factory=bytearray)
    incoming: bytearray = field(default_factory=bytearray)
    closes: bool = False


class GrpcConnection:
    """A client's side of one connection."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._streams: dict[int, _Stream] = {}
        self._pings = 0

    @property
    def has_room(self) -> bool:
        """Whether the peer takes another call now."""
        return self._http.open_outbound_streams < self._http.remote_settings.max_concurrent_streams

    def open(self, path: str) -> int:
        """Begins a call of a method, such as ``/package.Service/Method``."""
        stream = self._http.get_next_available_stream_id()
        self._http.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc+proto"),
                ("user-agent", "turnstile-python"),
            ],
        )
        self._streams[stream] = _Stream()
        return stream

    def send(self, stream: int, message: bytes) -> None:
        """Sends a message. One for a stream that has ended goes nowhere."""
        open_stream = self._streams.get(stream)
        if open_stream is not None:
            open_stream.outgoing += _PREFIX.pack(0, len(message)) + message

    def close(self, stream: int) -> None:
        """Says that no more is sent."""
        open_stream = self._streams.get(stream)
        if open_stream is not None:
            open_stream.closes = True

    def ping(self) -> None:
        """Asks for a sign of life, which is whatever :meth:`receive` is given next."""
        self._pings += 1
        self._http.ping(self._pings.to_bytes(8, "big"))

    def data_to_send(self) -> bytes:
        """What is to be written now. The rest waits for the peer's windows."""
        for stream, state in self._streams.items():
            self._fill(stream, state)
        return self._http.data_to_send()

    def _fill(self, stream: int, state: _Stream) -> None:
        while state.outgoing:
            room = min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)
            if room <= 0:
                return
            self._http.send_data(stream, bytes(state.outgoing[:room]))
            del state.outgoing[:room]
        if state.closes:
            state.closes = False
            self._http.end_stream(stream)

    def receive(self, data: bytes) -> list[Event]:
        """Takes bytes of the peer.

        Raises :class:`Broken`: the connection is of no use any more.
        """
        try:
            return [said for event in self._http.receive_data(data) for said in self._hear(event)]
        except (h2.exceptions.H2Error, UnicodeDecodeError, ValueError) as error:
            # The first is more likely: what a node says after its goodbye is wrong to h2, and hides that.
            raise Broken(f"the node has ended the connection, or does not speak HTTP/2 as it should: {error}") from error

    def _hear(self, event: h2.events.Event) -> list[Event]:
        if isinstance(event, h2.events.ConnectionTerminated):
            raise Broken("the node has ended the connection")
        stream = getattr(event, "stream_id", None)
        if stream not in self._streams:
            return []
        if isinstance(event, h2.events.ResponseReceived):
            headers = _headers(event.headers)
            if headers.get(":status") != "200":
                return [self._end(stream, UNAVAILABLE, f"the node answers HTTP {headers.get(':status')}", b"")]
            # An answer that is an error from the start has its status here, and no body.
            return self._status(stream, headers) if "grpc-status" in headers else [Opened(stream)]
        if isinstance(event, h2.events.DataReceived):
            if event.flow_controlled_length:
                self._http.acknowledge_received_data(event.flow_controlled_length, stream)
            return list(self._messages(stream, event.data or b""))
        if isinstance(event, h2.events.TrailersReceived):
            return self._status(stream, _headers(event.headers))
        if isinstance(event, h2.events.StreamReset):
            return [self._end(stream, UNAVAILABLE, "the node has reset the call", b"")]
        if isinstance(event, h2.events.StreamEnded):
            return [self._end(stream, _UNKNOWN, "the node has ended the call without a status", b"")]
        return []

    def _messages(self, stream: int, data: bytes) -> list[Message]:
        buffer = self._streams[stream].incoming
        buffer += data
        messages = []
        while len(buffer) >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(buffer)
            if compressed or size > _MAX_MESSAGE_BYTES:
                raise Broken(f"a message has {size} bytes, compressed: {bool(compressed)}")
            end = _PREFIX.size + size
            if len(buffer) < end:
                break
            messages.append(Message(stream, bytes(buffer[_PREFIX.size : end])))
            del buffer[:end]
        return messages

    def _status(self, stream: int, headers: dict[str, str]) -> list[Event]:
        details = headers.get("grpc-status-details-bin", "")
        try:
            code = int(headers.get("grpc-status", _UNKNOWN))
            decoded = base64.b64decode(details + "=" * (-len(details) % 4))
        except (ValueError, binascii.Error) as error:
            raise Broken(f"a status can't be read: {error}") from error
        return [self._end(stream, code, unquote(headers.get("grpc-message", "")), decoded)]

    def _end(self, stream: int, code: int, message: str, details: bytes) -> Ended:
        del self._streams[stream]
        return Ended(stream, code, message, details)


def _headers(headers: object) -> dict[str, str]:
    pairs = headers if isinstance(headers, list) else []
    return {str(name): str(value) for name, value in pairs}
