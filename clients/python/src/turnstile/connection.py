"""What a limit belongs to, and what it allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from . import _check
from .errors import InvalidInput, WrongType

Dimension = Literal["units", "tokens", "input_tokens", "output_tokens"]
"""What a limit counts: the cost of a request, or the tokens that its call takes."""

Algorithm = Literal["sliding_window", "token_bucket", "leaky_bucket", "gcra_virtual", "gcra_continuous"]
"""How a limit counts. The buckets let the whole count go at once and then one each window / count."""

DIMENSIONS: tuple[Dimension, ...] = ("units", "tokens", "input_tokens", "output_tokens")
ALGORITHMS: tuple[Algorithm, ...] = ("sliding_window", "token_bucket", "leaky_bucket", "gcra_virtual", "gcra_continuous")

_MAX_LIMITS = 8
_MOST_MARGIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many units or tokens in any rolling window, or at a steady rate.

    Raises :class:`~turnstile.InvalidInput`, a ``ValueError`` (and ``TypeError`` for wrong types), that names the field.
    """

    request_count: int
    """Units or tokens per window: 1 to 2**32 - 1. The capacity of a bucket."""
    window_seconds: float
    """The length of the window: 0.001 to 604,800 (7 days). The time in which a bucket's capacity comes back."""
    dimension: Dimension = "units"
    """What is counted."""
    algorithm: Algorithm = "sliding_window"
    """How it is counted."""
    delivery_bound_seconds: float | None = None
    """How late a grant may reach its worker: 0 to 60, where 0 accepts any jitter. ``None``: 1 % of the window, 0.02 to 0.1."""
    guard_seconds: float | None = None
    """What the way to the platform may take: 0 to 60. ``None``: 0.5 % of the window, 0.01 to 0.1, plus 1/2000 of it."""

    def __post_init__(self) -> None:
        self._check("", ("request_count", "window_seconds", "delivery_bound_seconds", "guard_seconds"))

    def _check(self, path: str, names: tuple[str, str, str, str]) -> None:
        count, window, delivery, guard = (path + name for name in names)
        _check.integer(count, self.request_count, 1)
        _check.seconds(window, self.window_seconds, 0.001, 604_800)
        _check.one_of(path + "dimension", self.dimension, DIMENSIONS)
        _check.one_of(path + "algorithm", self.algorithm, ALGORITHMS)
        _check.optional_seconds(delivery, self.delivery_bound_seconds, 0, _MOST_MARGIN_SECONDS)
        _check.optional_seconds(guard, self.guard_seconds, 0, _MOST_MARGIN_SECONDS)

    @classmethod
    def of(cls, value: RateLimitLike, field: str = "rateLimit") -> RateLimit:
        """A limit from ``{"requestCount": 3, "windowSeconds": 60}``, or the limit itself. ``field`` is its name in errors."""
        if isinstance(value, RateLimit):
            return value
        names = ("requestCount", "windowSeconds", "deliveryBoundSeconds", "guardSeconds")
        shape = _check.shape(field, value, "RateLimit", (*names, "dimension", "algorithm"))
        limit = object.__new__(cls)
        for attribute, content in (
            ("request_count", _check.required(field, shape, "requestCount")),
            ("window_seconds", _check.required(field, shape, "windowSeconds")),
            ("dimension", shape.get("dimension", "units")),
            ("algorithm", shape.get("algorithm", "sliding_window")),
            ("delivery_bound_seconds", shape.get("deliveryBoundSeconds")),
            ("guard_seconds", shape.get("guardSeconds")),
        ):
            object.__setattr__(limit, attribute, content)
        # By the names that the caller has written.
        limit._check(f"{field}.", names)
        return limit

    @property
    def delivery_bound(self) -> float:
        """How late a grant may reach its worker, in seconds: as set, or by default."""
        if self.delivery_bound_seconds is not None:
            return self.delivery_bound_seconds
        return min(max(self.window_seconds / 100, 0.02), 0.1)


RateLimitLike: TypeAlias = "RateLimit | Mapping[str, object]"
"""A limit, or a mapping of its original shape."""


@dataclass(frozen=True, slots=True, init=False)
class Connection:
    """A connection of a platform, with its limits, and how its requests step back for others.

    ``rate_limit`` is one limit or several (1 to 8): all must have room, and all are charged together. Limits may be mappings of their
    original shape. Raises :class:`~turnstile.InvalidInput`, a ``ValueError`` (and ``TypeError`` for wrong types), that names the field.
    """

    platform: str
    """The platform, such as ``slack``: 1 to 256 bytes of UTF-8 without NUL."""
    connection: str
    """The connection within its platform, such as a workspace: 1 to 256 bytes of UTF-8 without NUL."""
    niceness: int
    """0 to 2**32 - 1: 0 is served first, and a lower one always goes before a higher one."""
    rate_limits: tuple[RateLimit, ...]
    """Its limits."""

    def __init__(
        self,
        platform: str,
        connection: str,
        niceness: int = 0,
        *,
        rate_limit: RateLimitLike | Sequence[RateLimitLike],
    ) -> None:
        self._fill(platform, connection, niceness, _limits(rate_limit, "rate_limit"))

    def _fill(self, platform: object, connection: object, niceness: object, limits: tuple[RateLimit, ...]) -> None:
        object.__setattr__(self, "platform", _check.name("platform", platform))
        object.__setattr__(self, "connection", _check.name("connection", connection))
        object.__setattr__(self, "niceness", _check.integer("niceness", niceness, 0))
        object.__setattr__(self, "rate_limits", limits)

    @classmethod
    def of(cls, value: ConnectionLike) -> Connection:
        """A connection from its original shape, or the connection itself.

        The shape is ``{"platform", "connection", "niceness", "rateLimit": {"requestCount", "windowSeconds"}}``, with ``niceness`` 0 where
        it is not said, and with ``rateLimits``, a list, in place of ``rateLimit`` where there are several.
        """
        if isinstance(value, Connection):
            return value
        shape = _check.shape("", value, "Connection", ("platform", "connection", "niceness", "rateLimit", "rateLimits"))
        if "rateLimit" in shape and "rateLimits" in shape:
            raise InvalidInput("rateLimits", "is set beside rateLimit: only one of them is taken")
        name = "rateLimits" if "rateLimits" in shape else "rateLimit"
        limits = _limits(_check.required("", shape, name), name)
        made = object.__new__(cls)
        made._fill(_check.required("", shape, "platform"), _check.required("", shape, "connection"), shape.get("niceness", 0), limits)
        return made


ConnectionLike: TypeAlias = "Connection | Mapping[str, object]"
"""A connection, or a mapping of its original shape."""


def _limits(value: object, field: str) -> tuple[RateLimit, ...]:
    if isinstance(value, (RateLimit, Mapping)):
        return (RateLimit.of(value, field),)
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise WrongType(field, f"is {value!r}: it takes a RateLimit, a mapping, or a sequence of them")
    if not 1 <= len(value) <= _MAX_LIMITS:
        raise InvalidInput(field, f"has {len(value)} limits: it takes 1 to {_MAX_LIMITS}")
    return tuple(RateLimit.of(cast("RateLimitLike", limit), f"{field}[{index}]") for index, limit in enumerate(value))


def rate_limits(value: object, field: str) -> tuple[RateLimit, ...]:
    """One limit or several, each as itself or in its original shape."""
    return _limits(value, field)
