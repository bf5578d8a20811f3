"""gRPC without I/O, against the server's side of h2."""

from __future__ import annotations

import struct

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from turnstile._grpc import UNAVAILABLE, Broken, Ended, Event, GrpcConnection, Message, Opened

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Server:
    """The other side of a connection."""

    def __init__(self, client: GrpcConnection) -> None:
        self.client = client
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.read = bytearray()

    def exchange(self) -> list[Event]:
        """Has both sides say what they have to say; what the client hears."""
        events: list[Event] = []
        while True:
            to_server, to_client = self.client.data_to_send(), self.http.data_to_send()
            if not to_server and not to_client:
                return events
            for event in self.http.receive_data(to_server):
                if isinstance(event, h2.events.DataReceived):
                    self.read += event.data or b""
                    self.http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            events += self.client.receive(to_client)


def pair() -> tuple[GrpcConnection, Server, int]:
    client = GrpcConnection("node:1")
    server = Server(client)
    stream = client.open("/a.B/C")
    server.exchange()
    return client, server, stream


def framed(data: bytes) -> bytes:
    return struct.pack(">BI", 0, len(data)) + data


def test_a_message_larger_than_the_windows_arrives_whole() -> None:
    client, server, stream = pair()
    message = bytes(range(256)) * 1000
    client.send(stream, message)
    server.exchange()
    assert server.read == framed(message)


def test_messages_are_heard_however_they_are_cut() -> None:
    _, server, stream = pair()
    server.http.send_headers(stream, HEADERS)
    heard: list[Event] = []
    for index in range(0, 15):
        server.http.send_data(stream, (framed(b"first") + framed(b""))[index : index + 1])
        heard += server.exchange()
    server.http.send_headers(stream, [("grpc-status", "0")], end_stream=True)
    heard += server.exchange()
    assert heard == [Opened(stream), Message(stream, b"first"), Message(stream, b""), Ended(stream, 0, "", b"")]


def test_an_error_has_its_code_its_message_and_its_details() -> None:
    _, server, stream = pair()
    status = [("grpc-status", "5"), ("grpc-message", "not%20found"), ("grpc-status-details-bin", "AQI")]
    server.http.send_headers(stream, [*HEADERS, *status], end_stream=True)
    assert server.exchange() == [Ended(stream, 5, "not found", b"\x01\x02")]


def test_what_is_no_grpc_is_unavailable() -> None:
    _, server, stream = pair()
    server.http.send_headers(stream, [(":status", "503")], end_stream=True)
    (ended,) = server.exchange()
    assert isinstance(ended, Ended)
    assert ended.code == UNAVAILABLE


def test_a_call_that_is_reset_has_ended_and_others_go_on() -> None:
    client, server, stream = pair()
    other = client.open("/a.B/D")
    server.exchange()
    server.http.reset_stream(stream)
    server.http.send_headers(other, HEADERS)
    heard = server.exchange()
    assert [type(event) for event in heard] == [Ended, Opened]


def test_a_connection_that_the_peer_ends_is_broken() -> None:
    _, server, _ = pair()
    server.http.close_connection()
    with pytest.raises(Broken):
        server.exchange()


@pytest.mark.parametrize("prefix", [b"\x01\x00\x00\x00\x01", b"\x00\xff\xff\xff\xff"])
def test_a_message_that_is_compressed_or_too_long_breaks_the_connection(prefix: bytes) -> None:
    _, server, stream = pair()
    server.http.send_headers(stream, HEADERS)
    server.http.send_data(stream, prefix)
    with pytest.raises(Broken):
        server.exchange()


def test_there_is_room_for_as_many_calls_as_the_peer_takes() -> None:
    client, server, _ = pair()
    server.http.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    server.exchange()
    assert client.has_room
    client.open("/a.B/D")
    assert not client.has_room
