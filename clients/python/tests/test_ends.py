"""Nodes that aren't there, go away, say nothing, or say nonsense."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import h2.config
import h2.connection
import pytest

from turnstile import Closed, Connection, DeadlineExceeded, NotNow, RateLimit, Turnstile, Unavailable
from turnstile._grpc import GrpcConnection
from turnstile._waiting import Waiting

from .support import NodeProcess, free_ports, wait_until

SLOW = RateLimit(1, 60)


def gone() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@contextmanager
def impostor(says: bytes, held: list[socket.socket] | None = None) -> Iterator[str]:
    """Something that accepts connections and says this, and no more. ``held`` has the connections."""
    server = socket.create_server(("127.0.0.1", 0))
    held = [] if held is None else held

    def accept() -> None:
        while True:
            try:
                accepted, _ = server.accept()
            except OSError:
                return
            held.append(accepted)
            accepted.sendall(says)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for accepted in held:
            accepted.close()


def takes_up_and_ends() -> bytes:
    """What a node says that takes up a session and ends it at once, as one does that is about to stop."""
    client = GrpcConnection("node:1")
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    stream = client.open("/turnstile.v1.ThrottleService/Session")
    server.receive_data(client.data_to_send())
    server.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    server.send_headers(stream, [("grpc-status", "14"), ("grpc-message", "stopping")], end_stream=True)
    return server.data_to_send()


def test_a_node_that_is_not_there_is_told_at_once_to_a_try_and_in_time_to_others(name: str) -> None:
    with Turnstile([gone(), gone()]) as client:
        connection = Connection("test", name, rate_limit=SLOW)
        began = time.monotonic()
        assert client.try_throttle(connection, lambda: 1) is None
        assert client.try_throttle(connection, lambda: 1, on_unreachable="open") == 1
        with pytest.raises(Unavailable) as refused:
            client.try_acquire(connection)
        assert time.monotonic() - began < 1
        assert refused.value.retry_after == 1
        with pytest.raises(DeadlineExceeded, match="refused"):
            client.acquire(connection, timeout=0.2)
        with pytest.raises(Unavailable, match="refused"):
            client.acquire(connection, max_wait=0)


def test_of_a_name_with_several_addresses_one_that_says_nothing_is_passed_over(
    shared_node: NodeProcess, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its queue of connections is full: who wants another one hears nothing.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.create_connection(silent.getsockname()):
        port = int(shared_node.address.rpartition(":")[2])
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (silent.getsockname(), ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with Turnstile([f"several.test:{port}"]) as client:
            client.acquire(Connection("test", name, rate_limit=SLOW), timeout=5).done()


def test_a_process_that_may_start_no_thread_for_a_while_is_served_afterwards(
    shared_node: NodeProcess, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused: list[threading.Thread] = []

    def start_some(thread: threading.Thread) -> None:
        if thread.name == "turnstile-connect" and len(refused) < 3:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    # An address of its own, so that the session begins here.
    with Turnstile([shared_node.address.replace("127.0.0.1", "localhost")]) as client:
        client.acquire(Connection("test", name, rate_limit=SLOW), timeout=5).done()
    assert len(refused) == 3


def test_nodes_that_are_all_gone_are_logged_once_and_so_is_their_return(name: str, caplog: pytest.LogCaptureFixture) -> None:
    node = NodeProcess(["--memory"], address=gone())
    with Turnstile([gone(), node.address]) as client, caplog.at_level("INFO", "turnstile"):
        connection = Connection("test", name, rate_limit=SLOW)
        for _ in range(3):
            assert client.try_throttle(connection, lambda: 1) is None
        (said,) = caplog.records
        assert said.levelname == "WARNING"
        assert f"{node.address}: " in said.getMessage()
        node.spawn()
        try:
            node.serves()
            client.acquire(connection, timeout=10).done()
        finally:
            node.end()
        # Whoever was served may go on before it is logged.
        wait_until(lambda: len(caplog.records) >= 2, what="a second line of the log")
        assert [record.levelname for record in caplog.records[:2]] == ["WARNING", "INFO"]


def test_a_node_that_takes_up_sessions_and_serves_nobody_is_asked_ever_less_often_and_logged_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for nodes in (1, 2):
        caplog.clear()
        sessions: list[socket.socket] = []
        with ExitStack() as stack, caplog.at_level("INFO", "turnstile"):
            addresses = [stack.enter_context(impostor(takes_up_and_ends(), sessions)) for _ in range(nodes)]
            client = stack.enter_context(Turnstile(addresses))
            with pytest.raises(DeadlineExceeded, match="stopping"):
                client.acquire(Connection("test", name, rate_limit=SLOW), timeout=2)
        # Pauses of 0.04, 0.08, 0.16, 0.32 and then 0.5 s.
        assert 3 * nodes < len(sessions) < 10 * nodes
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_session_in_which_nobody_waits_serves_while_its_node_shows_signs_of_life(
    node: NodeProcess, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection("test", name, rate_limit=SLOW)
    with Turnstile([gone(), node.address]) as client, caplog.at_level("INFO", "turnstile"):
        client.acquire(connection).done()
        session = client._lease.session
        node.kill()
        wait_until(lambda: session._attempts_failed >= 2, what="the loss of all nodes")
        node.spawn()
        node.serves()
        wait_until(lambda: session._attempts_failed == 0, within=20, what="signs of life")
        wait_until(lambda: len(caplog.records) == 2, what="a second line of the log")
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_who_waits_is_served_when_the_node_comes(name: str) -> None:
    node = NodeProcess(["--memory"], address=gone())
    with Turnstile([node.address]) as client:
        waiter = threading.Thread(target=lambda: client.acquire(Connection("test", name, rate_limit=SLOW)).done())
        waiter.start()
        wait_until(lambda: client._lease.session._attempts_failed > 2, what="three attempts")
        node.spawn()
        try:
            node.serves()
            waiter.join(10)
            assert not waiter.is_alive()
        finally:
            node.end()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64])
def test_who_says_nothing_or_nonsense_is_passed_over(shared_node: NodeProcess, name: str, says: bytes) -> None:
    with impostor(says) as address, Turnstile([address, shared_node.address]) as client:
        began = time.monotonic()
        assert client.throttle(Connection("test", name, rate_limit=SLOW), lambda: 1) == 1
        assert time.monotonic() - began < 3
    with impostor(says) as address, Turnstile([address]) as client:
        began = time.monotonic()
        assert client.try_throttle(Connection("test", name, rate_limit=SLOW), lambda: 1) is None
        assert time.monotonic() - began < 1.5


def test_who_waits_at_a_node_that_goes_away_waits_on_when_it_is_back(node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=RateLimit(1, 2))
    with Turnstile([node.address]) as client:
        client.acquire(connection).done()
        served = threading.Event()
        waiter = threading.Thread(target=lambda: client.throttle(connection, served.set))
        waiter.start()
        session = client._lease.session
        wait_until(lambda: session._conversation._waiting, what="somebody who waits")
        node.kill()
        wait_until(lambda: session._link is None, what="the loss of the node")
        assert not served.is_set()
        node.spawn()
        node.serves()
        assert served.wait(10)
        waiter.join(10)


def test_a_node_that_is_stopped_is_noticed_and_another_is_asked(node: NodeProcess, shared_node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=SLOW)
    with Turnstile([node.address, shared_node.address]) as client:
        client.acquire(connection).done()
        node.pause()
        began = time.monotonic()
        # Of the other node, which is no cluster with it and has granted nothing.
        client.acquire(connection, timeout=10).done()
        assert 0.5 < time.monotonic() - began < 4


def test_a_timeout_passes_also_while_the_node_is_away(node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=SLOW)
    with Turnstile([node.address]) as client:
        client.acquire(connection).done()
        ended: list[tuple[float, BaseException]] = []
        began = time.monotonic()

        def wait() -> None:
            with pytest.raises(DeadlineExceeded) as refused:
                client.acquire(connection, timeout=1)
            ended.append((time.monotonic() - began, refused.value))

        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: client._lease.session._conversation._waiting, what="somebody who waits")
        node.kill()
        waiter.join(5)
        assert len(ended) == 1
        assert 1 <= ended[0][0] < 3


def test_reconciles_of_a_lost_session_are_all_told_through_the_next(node: NodeProcess, name: str) -> None:
    model = Connection("test", name, rate_limit=RateLimit(1000, 60, "tokens"))
    with Turnstile([node.address]) as client:
        permits = [client.acquire(model, tokens=2) for _ in range(300)]
        session = client._lease.session
        node.pause()
        told: list[int] = []
        threads = [threading.Thread(target=lambda permit=permit: told.append(permit.reconcile(1).refunded.tokens)) for permit in permits]
        for thread in threads:
            thread.start()
        wait_until(lambda: session._link is None, what="the loss of the node that is stopped")
        node.resume()
        for thread in threads:
            thread.join(10)
        # Each counts once, however often it was sent.
        client.acquire(model, tokens=700, timeout=5).done()
        assert client.try_acquire(model) is None
        assert told == [1] * 300


def test_what_is_held_can_be_given_back_through_another_session(node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=SLOW)
    with Turnstile([node.address]) as client:
        permit = client.acquire(connection)
        session = client._lease.session
        # As when the connection broke on the way; the node lives on.
        assert session._link is not None
        session._link.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: session._conversation._session == 2 and session._conversation.is_open, what="the next session")
        with pytest.raises(NotNow):
            client.acquire(connection, max_wait=1)
        permit.give_back()
        client.acquire(connection, timeout=5).done()


def test_a_slot_that_came_too_late_through_a_lost_session_goes_back_and_comes_again_under_the_id_of_its_caller(
    node: NodeProcess, name: str
) -> None:
    with Turnstile([node.address]) as client:
        session = client._lease.session
        waiting = Waiting.of(Connection("test", name, rate_limit=SLOW), request_id=uuid.uuid4())
        session.ask(waiting)
        held = waiting.future.result(5)
        assert session._link is not None
        session._link.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: session._conversation._session == 2 and session._conversation.is_open, what="the next session")
        session.ask_again(waiting, held)
        assert waiting.future.result(5).request_id == held.request_id


def test_what_is_said_before_a_client_is_closed_is_heard_also_in_the_middle_of_other_calls(node: NodeProcess, name: str) -> None:
    busy = Connection("test", f"{name}-busy", rate_limit=RateLimit(1_000_000, 1))
    # A session of its own, by another spelling of the address.
    with Turnstile([node.address.replace("127.0.0.1", "localhost")]) as other:
        for number in range(40):
            connection = Connection("test", f"{name}-{number}", rate_limit=SLOW)
            with Turnstile([node.address]) as client:
                permit = client.acquire(connection)
                threads = [threading.Thread(target=call_until_closed, args=(client, busy)) for _ in range(8)]
                for thread in threads:
                    thread.start()
                permit.give_back()
            for thread in threads:
                thread.join(10)
            other.acquire(connection, timeout=5).done()


def call_until_closed(client: Turnstile, connection: Connection) -> None:
    try:
        while True:
            client.acquire(connection).done()
    except Closed:
        return


def test_a_client_is_closed_in_time_though_its_node_is_stopped(node: NodeProcess, name: str) -> None:
    client = Turnstile([node.address])
    client.acquire(Connection("test", name, rate_limit=SLOW)).give_back()
    node.pause()
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 1.5
