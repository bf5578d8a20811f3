"""Unary calls, without a node."""

from __future__ import annotations

import time
from typing import cast

import pytest

from turnstile._grpc import Broken, Ended, Message, Opened
from turnstile._link import Link
from turnstile._waiting import Call

from .recorder import STREAM, Recorder, begun, details


def test_no_more_calls_are_made_at_once_than_the_node_takes() -> None:
    conversation, link = begun()
    calls = [Call("Reconcile", b"", time.monotonic() + 10) for _ in range(3)]
    link.room = 2
    for call in calls:
        conversation.call(call)
    # How many it takes is not known before it has spoken.
    assert link.calls == []
    conversation.hear(Opened(STREAM))
    assert link.calls == [3, 5]
    link.room = 3
    conversation.hear(Message(3, b"answer"))
    conversation.hear(Ended(3, 0, "", b""))
    assert link.calls == [3, 5, 7]
    assert [call.future.done() for call in calls] == [True, False, False]


def test_a_call_whose_answer_came_without_its_end_is_not_sent_again() -> None:
    conversation, link = begun()
    link.room = 2
    answered, lost = (Call("Reconcile", b"", time.monotonic() + 10) for _ in range(2))
    conversation.hear(Opened(STREAM))
    conversation.call(answered)
    conversation.hear(Message(3, b"answer"))
    # A second answer to it is one too many.
    conversation.hear(Message(3, b"another"))
    conversation.call(lost)
    conversation.lose("killed")
    link = Recorder()
    link.room = 3
    conversation.begin(cast("Link", link))
    conversation.hear(Opened(STREAM))
    assert link.calls == [3]
    conversation.hear(Message(3, b"answer"))
    assert answered.future.result(0) == lost.future.result(0) == b"answer"
    assert conversation.is_idle


def test_what_a_call_says_is_told_also_when_its_caller_has_gone_away() -> None:
    conversation, link = begun()
    link.room = 1
    conversation.hear(Opened(STREAM))
    left, unsent = (Call("Reconcile", b"", time.monotonic() + 10) for _ in range(2))
    for call in (left, unsent):
        conversation.call(call)
        call.future.cancel()
    conversation.lose("killed")
    for out_of_service in (True, False):
        link = Recorder()
        link.room = 2
        conversation.begin(cast("Link", link))
        conversation.hear(Opened(STREAM))
        assert link.calls == [3, 5]
        if out_of_service:
            with pytest.raises(Broken):
                conversation.hear(Ended(3, 14, "no", details("SERVER_STOPPING")))
            conversation.lose("stopping")
    conversation.hear(Message(3, b"answer"))
    assert not conversation.is_idle
    # Nor for ever.
    conversation.tend(time.monotonic() + 10)
    assert conversation.is_idle
