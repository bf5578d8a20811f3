"""Messages of ``turnstile.v1``, and what they mean here."""

from __future__ import annotations

import time
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from . import errors
from ._check import NANOS, to_nanos
from ._grpc import UNAVAILABLE, Broken
from .connection import Connection, RateLimit
from .v1 import throttle_pb2 as v1

NOT_FOUND = 5
ALREADY_EXISTS = 6
ABORTED = 10


def to_span(nanos: int) -> Duration:
    """A span as it travels."""
    return Duration(seconds=nanos // NANOS, nanos=nanos % NANOS)


def to_seconds(span: Duration) -> float:
    """A span as it is told to callers."""
    return span.seconds + span.nanos / NANOS


def _from_span(span: Duration) -> int:
    if span.seconds < 0 or not 0 <= span.nanos < NANOS:
        raise Broken(f"a span is {span.seconds} s and {span.nanos} ns")
    return span.seconds * NANOS + span.nanos


def to_limit(limit: RateLimit) -> v1.RateLimit:
    """A limit as it travels: what was left to its default stays so."""
    message = v1.RateLimit(
        request_count=limit.request_count,
        window=to_span(to_nanos(limit.window_seconds)),
        dimension=f"DIMENSION_{limit.dimension.upper()}",
        algorithm=f"ALGORITHM_{limit.algorithm.upper()}",
    )
    if limit.delivery_bound_seconds is not None:
        message.delivery_bound.CopyFrom(to_span(to_nanos(limit.delivery_bound_seconds)))
    if limit.guard_seconds is not None:
        message.guard.CopyFrom(to_span(to_nanos(limit.guard_seconds)))
    return message


def to_acquire(connection: Connection) -> v1.Acquire:
    """An acquire of one unit of this connection."""
    return v1.Acquire(
        key=v1.ConnectionKey(platform=connection.platform, connection=connection.connection),
        limits=[to_limit(limit) for limit in connection.rate_limits],
        niceness=connection.niceness,
    )


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant as it came, and the moment from which on its age counts."""

    tenure: int
    arrival: int
    release: int
    permit: bytes
    delivery_nanos: int
    """How late it may reach its worker; 0 accepts any jitter."""
    born_at: int
    """It is no older than the monotonic clock has counted since then, in nanoseconds."""

    @classmethod
    def of(cls, message: v1.Granted) -> Granted:
        """Raises :class:`Broken` when it lacks what it must have."""
        grant = message.grant
        if not message.HasField("stamp_nanos") or not message.HasField("age") or not grant.HasField("margin"):
            raise Broken("a grant lacks its stamp, its age or its margin")
        return cls(
            tenure=grant.tenure,
            arrival=grant.arrival,
            release=grant.release,
            permit=grant.permit,
            delivery_nanos=_from_span(grant.margin.delivery),
            born_at=message.stamp_nanos - _from_span(message.age),
        )

    def left_nanos(self) -> int | None:
        """How soon it must be started, in nanoseconds: negative when it is too late, ``None`` when any time is soon enough."""
        if self.delivery_nanos == 0:
            return None
        return self.delivery_nanos - (time.monotonic_ns() - self.born_at)

    @property
    def is_stale(self) -> bool:
        """Whether it may be older than its delivery bound. It is not started then."""
        left = self.left_nanos()
        return left is not None and left < 0


def is_out_of_service(code: int, status_details: bytes) -> bool:
    """Whether a node has refused because it can serve nobody now, rather than that the owner of one connection does not answer."""
    if code != UNAVAILABLE:
        return False
    info = error_details_pb2.ErrorInfo()
    try:
        for detail in status_pb2.Status.FromString(status_details).details:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
    except DecodeError:
        pass
    return bool(info.reason != "OWNER_UNAVAILABLE")


def to_error(code: int, message: str, status_details: bytes) -> errors.TurnstileError:
    """What a node has refused a call with."""
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    try:
        for detail in status_pb2.Status.FromString(status_details).details:
            for known in (info, bad, retry):
                if detail.Is(known.DESCRIPTOR):
                    detail.Unpack(known)
    except DecodeError:
        # Details are an addition: the code and the message say enough.
        pass
    retry_after = to_seconds(retry.retry_delay)
    violation = bad.field_violations[0] if bad.field_violations else None
    field, rule = (violation.field, violation.description) if violation else ("acquire", message)
    # Callers know it by the name of their argument.
    field = field.removeprefix("acquire.").removeprefix("try_acquire.")
    match info.reason:
        case "BAD_INPUT":
            return errors.InvalidInput(field, rule)
        case "COST_OVER_LIMIT":
            return errors.CostOverLimit(field, rule)
        case "NOT_NOW":
            return errors.NotNow(retry_after)
        case "DEADLINE_EXCEEDED":
            return errors.DeadlineExceeded(message)
        case "BOUND_REACHED":
            return errors.BoundReached(message, info.metadata.get("bound", ""), retry_after)
        case "LIMITS_DIFFER":
            return errors.LimitsDiffer(message)
        case "REQUEST_ID_REUSED" | "REQUEST_ID_IN_USE":
            return errors.RequestIdReused(message)
        case "ALREADY_GRANTED":
            return errors.AlreadyGranted(message)
        case "SUPERSEDED":
            return errors.Superseded(message)
        case "NOT_OPEN" | "UNKNOWN_REQUEST":
            return errors.NotOpen(message)
        case reason if code == UNAVAILABLE:
            return errors.Unavailable(f"{message} ({reason})", retry_after or 1.0)
        case reason:
            return errors.Refused(message, reason or f"gRPC code {code}")
