"""A node that is a list of what is said to it."""

from __future__ import annotations

import time
from typing import cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from turnstile import Connection, RateLimit
from turnstile._conversation import Conversation
from turnstile._grpc import Message
from turnstile._link import Link
from turnstile._waiting import Waiting
from turnstile.v1 import throttle_pb2 as v1

CONNECTION = Connection("test", "unit", rate_limit=RateLimit(1, 2))
STREAM = 1


class Recorder:
    """A link and its gRPC connection that write down what is said."""

    def __init__(self) -> None:
        self.grpc = self
        self.said: list[v1.SessionRequest] = []
        self.calls: list[int] = []
        self.methods: list[str] = []
        self.room = 0

    @property
    def has_room(self) -> bool:
        return len(self.calls) < self.room

    def open(self, path: str) -> int:
        if path == "/turnstile.v1.ThrottleService/Session":
            return STREAM
        self.methods.append(path.rpartition("/")[2])
        self.calls.append(STREAM + 2 * len(self.calls) + 2)
        return self.calls[-1]

    def send(self, stream: int, message: bytes) -> None:
        if stream == STREAM:
            self.said.append(v1.SessionRequest.FromString(message))

    def close(self, stream: int) -> None:
        assert stream in self.calls

    def words(self) -> list[str | None]:
        """What was said since the last time, by its kind."""
        said, self.said = self.said, []
        return [request.WhichOneof("message") for request in said]


def begun() -> tuple[Conversation, Recorder]:
    conversation, link = Conversation(nodes=1), Recorder()
    conversation.begin(cast("Link", link))
    return conversation, link


def answer(conversation: Conversation, waiting: Waiting, **said: object) -> None:
    response = v1.SessionResponse(request_id=waiting.request_id, **said)  # type: ignore[arg-type]
    conversation.hear(Message(STREAM, response.SerializeToString()))


def granted(aged: float, delivery: float = 0.02) -> v1.Granted:
    """A grant that can be so old by now, in seconds."""
    grant = v1.Granted(stamp_nanos=time.monotonic_ns() - round(aged * 1e9))
    grant.age.FromNanoseconds(0)
    grant.grant.margin.delivery.FromNanoseconds(round(delivery * 1e9))
    return grant


def failed(code: int, reason: str = "") -> v1.Failed:
    return v1.Failed(code=code, message="no", status_details=details(reason))


def details(reason: str) -> bytes:
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="turnstile"))
    return bytes(status_pb2.Status(details=[detail]).SerializeToString())
