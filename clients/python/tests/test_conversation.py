"""What is said to a node, without one."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future
from typing import cast

import pytest

from turnstile import AlreadyGranted, Connection, DeadlineExceeded, NotNow, RateLimit, RequestIdReused, Superseded, Unavailable
from turnstile._conversation import Conversation
from turnstile._grpc import Broken, Ended, Message, Opened
from turnstile._link import Link
from turnstile._waiting import Call, Waiting
from turnstile.v1 import throttle_pb2 as v1

from .recorder import CONNECTION, STREAM, Recorder, answer, begun, details, failed, granted


def test_a_grant_in_time_is_handed_out() -> None:
    conversation, link = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    answer(conversation, waiting, granted=granted(aged=0))
    assert waiting.future.result(0).request_id == waiting.request_id
    assert link.words() == ["acquire"]
    assert conversation.is_idle


def test_a_grant_that_may_be_too_old_is_given_back_and_asked_for_again_with_its_age() -> None:
    conversation, link = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    link.words()
    answer(conversation, waiting, granted=granted(aged=0.021))
    assert not waiting.future.done()
    assert link.said[1].acquire.HasField("waited")
    assert link.words() == ["give_back", "acquire"]
    # The answer to the first of the two is not one to the second.
    answer(conversation, waiting, ended=v1.Ended())
    answer(conversation, waiting, granted=granted(aged=0))
    assert waiting.future.done()


def test_an_answer_that_has_crossed_a_cancel_is_not_for_who_asks_by_the_same_id_next() -> None:
    for crossed in ({"granted": granted(aged=0)}, {"throttled": v1.Throttled()}, {"failed": failed(8)}):
        conversation, link = begun()
        waiting, same = Waiting.of(CONNECTION), Waiting.of(CONNECTION)
        same.request_id = waiting.request_id
        conversation.take(waiting)
        conversation.leave(waiting)
        conversation.take(same)
        assert link.words() == ["acquire", "cancel", "acquire"]
        answer(conversation, waiting, **crossed)
        # What the cancel is answered with: it came after the other answer, or before it.
        over: dict[str, object] = {"ended": v1.Ended()} if "granted" in crossed else {"failed": failed(5)}
        answer(conversation, waiting, **over)
        assert not same.future.done()
        answer(conversation, same, granted=granted(aged=0))
        assert same.future.result(0).request_id == same.request_id


def test_a_grant_of_any_age_will_do_where_any_jitter_is_accepted() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    answer(conversation, waiting, granted=granted(aged=100, delivery=0))
    assert waiting.future.done()


def test_a_grant_without_a_stamp_ends_the_session() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    with pytest.raises(Broken):
        answer(conversation, waiting, granted=v1.Granted(grant=v1.Grant(margin=v1.Margin())))


def test_a_grant_for_one_who_has_just_left_goes_back() -> None:
    conversation, link = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    waiting.future.cancel()
    answer(conversation, waiting, granted=granted(aged=0))
    assert link.words() == ["acquire", "give_back"]
    with pytest.raises(CancelledError):
        waiting.future.result(0)


def test_stamps_are_sent_at_every_quarter_of_the_tightest_bound_that_waits() -> None:
    conversation, link = begun()
    assert conversation.tend(time.monotonic()) > time.monotonic() + 10
    loose = Waiting.of(Connection("test", "loose", rate_limit=RateLimit(1, 600)))
    tight = Waiting.of(CONNECTION)
    for waiting, every in ((loose, 0.025), (tight, 0.005)):
        conversation.take(waiting)
        link.words()
        said_at = time.monotonic()
        assert conversation.tend(said_at) <= said_at + every
        conversation.tend(said_at + every)
        assert link.words() == [None]
    conversation.leave(tight)
    now = time.monotonic()
    assert now + 0.02 < conversation.tend(now) <= now + 0.025


def test_stamps_are_as_frequent_as_the_bound_of_a_stale_grant_asks() -> None:
    conversation, link = begun()
    loose, tight = Waiting.of(Connection("test", "loose", rate_limit=RateLimit(1, 600))), Waiting.of(CONNECTION)
    conversation.take(loose)
    # Operators' limits may be tighter than those of the caller.
    answer(conversation, loose, granted=granted(aged=0.009, delivery=0.008))
    now = time.monotonic()
    assert conversation.tend(now) <= now + 0.002
    conversation.leave(loose)
    assert not conversation._bounds
    conversation.take(tight)
    answer(conversation, tight, granted=granted(aged=0.009, delivery=1e-6))
    link.words()
    # Not in a tight loop, however tight the bound is.
    assert conversation.tend(conversation._stamped_at) == conversation._stamped_at + 0.001


def test_who_was_served_is_forgotten_long_before_the_timeout() -> None:
    conversation, _ = begun()
    late = Waiting.of(CONNECTION, timeout=3600)
    conversation.take(late)
    for _ in range(1000):
        waiting = Waiting.of(CONNECTION, timeout=3600)
        conversation.take(waiting)
        answer(conversation, waiting, granted=granted(aged=0))
    assert len(conversation._expiries) < 100
    # And who still waits has an end.
    late.began_at -= 3600 * 10**9
    conversation.lose("killed")
    conversation.tend(time.monotonic())
    with pytest.raises(DeadlineExceeded):
        late.future.result(0)


def test_whoever_waits_goes_to_the_next_node_in_order_and_with_its_age() -> None:
    conversation, _ = begun()
    waiters = [Waiting.of(CONNECTION) for _ in range(3)]
    for index, waiting in enumerate(waiters):
        waiting.began_at = waiters[0].began_at + index
        conversation.take(waiting)
    conversation.lose("killed")
    link = Recorder()
    conversation.begin(cast("Link", link))
    assert [request.acquire.request_id for request in link.said] == [waiting.request_id for waiting in waiters]
    waited = [request.acquire.waited.ToNanoseconds() for request in link.said]
    # By one reading of the clock: else the time between two messages would count, too.
    assert waited == [waited[0], waited[0] - 1, waited[0] - 2]
    assert waited[2] > 0


def test_a_slot_that_was_granted_through_a_lost_session_is_asked_for_under_another_id() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION)
    former = waiting.request_id
    conversation.take(waiting)
    conversation.lose("killed")
    link = Recorder()
    conversation.begin(cast("Link", link))
    answer(conversation, waiting, failed=failed(6))
    assert link.words() == ["acquire", "acquire"]
    assert waiting.request_id != former
    answer(conversation, waiting, granted=granted(aged=0))
    assert waiting.future.done()


def test_a_chosen_id_that_was_granted_through_a_lost_session_is_told() -> None:
    for code, reason in ((6, AlreadyGranted), (10, Superseded)):
        conversation, _ = begun()
        waiting = Waiting.of(CONNECTION, request_id=b"0123456789abcdef")
        conversation.take(waiting)
        conversation.lose("killed")
        link = Recorder()
        conversation.begin(cast("Link", link))
        answer(conversation, waiting, failed=failed(code, "ALREADY_GRANTED" if code == 6 else "SUPERSEDED"))
        assert link.words() == ["acquire"]
        with pytest.raises(reason):
            waiting.future.result(0)


def test_a_request_id_that_its_caller_has_used_before_is_told() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION, request_id=b"0123456789abcdef")
    conversation.take(waiting)
    again = Waiting.of(CONNECTION, request_id=b"0123456789abcdef")
    conversation.take(again)
    with pytest.raises(RequestIdReused):
        again.future.result(0)
    answer(conversation, waiting, throttled=v1.Throttled())
    with pytest.raises(NotNow):
        waiting.future.result(0)


def test_a_node_that_can_not_serve_is_left() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    with pytest.raises(Broken):
        answer(conversation, waiting, failed=failed(14, "SERVER_STOPPING"))
    assert not waiting.future.done()


def test_an_owner_that_does_not_answer_ends_only_what_was_asked_of_it() -> None:
    conversation, link = begun()
    link.room = 1
    asked, other = Waiting.of(CONNECTION), Waiting.of(Connection("test", "other", rate_limit=RateLimit(1, 2)))
    call = Call("Reconcile", b"", time.monotonic() + 10)
    conversation.hear(Opened(STREAM))
    conversation.take(asked)
    conversation.take(other)
    conversation.call(call)
    answer(conversation, asked, failed=failed(14, "OWNER_UNAVAILABLE"))
    conversation.hear(Ended(3, 14, "no", details("OWNER_UNAVAILABLE")))
    for future in (asked.future, call.future):
        with pytest.raises(Unavailable):
            future.result(0)
    answer(conversation, other, granted=granted(aged=0))
    assert other.future.done()


def test_a_stale_slot_of_a_lost_session_is_asked_for_anew() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    answer(conversation, waiting, granted=granted(aged=0))
    held = waiting.future.result(0)
    conversation.lose("killed")
    conversation.again(waiting, held)
    link = Recorder()
    link.room = 1
    conversation.begin(cast("Link", link))
    assert link.words() == ["acquire"]
    assert waiting.request_id != held.request_id
    # Nobody has started anything with it.
    conversation.hear(Opened(STREAM))
    assert link.methods == ["Release"]


def test_a_stale_slot_of_a_lost_session_is_asked_for_under_the_id_of_its_callers_choice_when_it_is_back() -> None:
    for refusal in (None, "NOT_OPEN"):
        conversation, _ = begun()
        waiting = Waiting.of(CONNECTION, request_id=b"0123456789abcdef")
        conversation.take(waiting)
        answer(conversation, waiting, granted=granted(aged=0))
        held = waiting.future.result(0)
        waiting.future = Future()
        conversation.lose("killed")
        conversation.again(waiting, held)
        link = Recorder()
        link.room = 1
        conversation.begin(cast("Link", link))
        conversation.hear(Opened(STREAM))
        assert link.methods == ["Release"]
        assert link.words() == []
        conversation.hear(Message(3, b"") if refusal is None else Ended(3, 5, "no", details(refusal)))
        (asked,) = link.said
        assert asked.acquire.request_id == waiting.request_id == held.request_id
        assert asked.acquire.HasField("waited")
        answer(conversation, waiting, granted=granted(aged=0))
        assert waiting.future.done()


def test_a_stale_slot_of_a_lost_session_is_left_to_a_retry_under_its_id() -> None:
    conversation, _ = begun()
    waiting, retry = (Waiting.of(CONNECTION, request_id=b"0123456789abcdef") for _ in range(2))
    conversation.take(waiting)
    answer(conversation, waiting, granted=granted(aged=0))
    held = waiting.future.result(0)
    waiting.future = Future()
    conversation.lose("killed")
    conversation.begin(cast("Link", Recorder()))
    conversation.take(retry)
    conversation.again(waiting, held)
    with pytest.raises(Superseded):
        waiting.future.result(0)
    answer(conversation, retry, granted=granted(aged=0))
    assert retry.future.done()


def test_who_asks_by_an_id_that_is_held_is_told_so_whatever_becomes_of_the_slot() -> None:
    for ends in (Conversation.done, Conversation.give_back):
        conversation, link = begun()
        waiting, same, later = (Waiting.of(CONNECTION, request_id=b"0123456789abcdef") for _ in range(3))
        conversation.take(waiting)
        answer(conversation, waiting, granted=granted(aged=0))
        conversation.take(same)
        ends(conversation, waiting.future.result(0))
        with pytest.raises(RequestIdReused):
            same.future.result(0)
        link.words()
        conversation.take(later)
        assert link.words() == ["acquire"]


def test_the_reason_of_a_refusal_is_an_exception() -> None:
    conversation, _ = begun()
    waiting = Waiting.of(CONNECTION)
    conversation.take(waiting)
    answer(conversation, waiting, failed=failed(6, "ALREADY_GRANTED"))
    with pytest.raises(AlreadyGranted):
        waiting.future.result(0)
