"""Workers share rate-limited APIs through Turnstile's nodes: strict priority, order, and exact rolling windows.

>>> from turnstile import Connection, RateLimit, Turnstile
>>> slack = Connection("slack", "acme", rate_limit=RateLimit(request_count=3, window_seconds=1))
>>> Turnstile().throttle(slack, lambda: "the platform's answer")  # doctest: +SKIP
"the platform's answer"
"""

from .aio import AsyncTurnstile
from .client import Turnstile
from .connection import Algorithm, Connection, ConnectionLike, Dimension, RateLimit, RateLimitLike
from .decorator import default_client, throttle
from .errors import (
    AlreadyGranted,
    BoundReached,
    Closed,
    CostOverLimit,
    DeadlineExceeded,
    InvalidInput,
    LimitsDiffer,
    NotNow,
    NotOpen,
    Refused,
    RequestIdReused,
    Superseded,
    TurnstileError,
    Unavailable,
    WrongType,
)
from .permit import AsyncPermit, Permit, Reconciled, TokenCount
from .throttling import AsyncThrottling, BlockingThrottling, OnUnreachable

__all__ = [
    "Algorithm",
    "AlreadyGranted",
    "AsyncPermit",
    "AsyncThrottling",
    "AsyncTurnstile",
    "BlockingThrottling",
    "BoundReached",
    "Closed",
    "Connection",
    "ConnectionLike",
    "CostOverLimit",
    "DeadlineExceeded",
    "Dimension",
    "InvalidInput",
    "LimitsDiffer",
    "NotNow",
    "NotOpen",
    "OnUnreachable",
    "Permit",
    "RateLimit",
    "RateLimitLike",
    "Reconciled",
    "Refused",
    "RequestIdReused",
    "Superseded",
    "TokenCount",
    "Turnstile",
    "TurnstileError",
    "Unavailable",
    "WrongType",
    "default_client",
    "throttle",
]
