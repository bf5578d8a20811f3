"""The call that never waits: across all processes a function starts so many times in a window, and other calls return at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from . import _check
from .client import Turnstile
from .connection import Connection, RateLimitLike, rate_limits
from .errors import InvalidInput, Unavailable, WrongType
from .throttling import BlockingThrottling, OnUnreachable, awaited, check_on_unreachable

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
Throttled_co = TypeVar("Throttled_co", covariant=True)

_default: BlockingThrottling | None = None


def default_client() -> BlockingThrottling:
    """The client of the functions that name none: made at the first call, for the nodes in ``TURNSTILE_NODES``."""
    global _default
    if _default is None:
        made = Turnstile()
        # Without a lock, for a fork may come in between. Of two that are made at once one is not used, and has connected nothing.
        if _default is None:
            _default = made
    return _default


def replace_default_client(client: BlockingThrottling | None) -> BlockingThrottling | None:
    """Has functions that name no client use this one from now on. The former one."""
    global _default
    former, _default = _default, client
    return former


class Decorator(Protocol[Throttled_co]):
    """What :func:`throttle` makes: a decorator of functions and ``async`` functions."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T | Throttled_co]]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, T | Throttled_co]: ...


@overload
def throttle(
    name: str | None = None,
    *,
    rate: RateLimitLike | Sequence[RateLimitLike],
    key: Callable[..., str] | None = None,
    platform: str = "function",
    on_throttled: None = None,
    release_on_error: bool = False,
    on_unreachable: OnUnreachable = "closed",
    client: BlockingThrottling | None = None,
) -> Decorator[None]: ...
@overload
def throttle(
    name: str | None = None,
    *,
    rate: RateLimitLike | Sequence[RateLimitLike],
    key: Callable[..., str] | None = None,
    platform: str = "function",
    on_throttled: Callable[..., U],
    release_on_error: bool = False,
    on_unreachable: OnUnreachable = "closed",
    client: BlockingThrottling | None = None,
) -> Decorator[U]: ...
@overload
def throttle(
    name: str | None = None,
    *,
    rate: RateLimitLike | Sequence[RateLimitLike],
    key: Callable[..., str] | None = None,
    platform: str = "function",
    on_throttled: U,
    release_on_error: bool = False,
    on_unreachable: OnUnreachable = "closed",
    client: BlockingThrottling | None = None,
) -> Decorator[U]: ...
def throttle(
    name: str | None = None,
    *,
    rate: RateLimitLike | Sequence[RateLimitLike],
    key: Callable[..., str] | None = None,
    platform: str = "function",
    on_throttled: object = None,
    release_on_error: bool = False,
    on_unreachable: OnUnreachable = "closed",
    client: BlockingThrottling | None = None,
) -> Decorator[Any]:
    """Makes a function start at most as often as ``rate`` allows, over all processes that decorate one of the same name. It never waits.

    A call without a slot returns ``on_throttled`` at once. The slot is used when the function starts, however long it runs. Functions and
    ``async`` functions are taken.

    :param name: what the limit belongs to; the function's module and qualified name if it is not said.
    :param rate: how often, in one limit or several.
    :param key: instead of ``name``, a function of the call's arguments that returns it.
    :param platform: the platform of the connection whose id the name is.
    :param on_throttled: what a call without a slot returns, or a callable that is called with the same arguments and returns it.
    :param release_on_error: gives the slot back when the function raises, for functions that raise before they have reached anybody.
    :param on_unreachable: what is done when no node answers: ``"closed"`` does as without a slot, ``"open"`` calls the
        function unthrottled.
    :param client: whose nodes; without it those in ``TURNSTILE_NODES``.
    """
    if name is not None and key is not None:
        raise InvalidInput("key", "is set beside a name: only one of them is taken")
    if key is not None and not callable(key):
        raise WrongType("key", f"is {key!r}: it takes a callable")
    if name is not None:
        # Also of a decorator that was written without parentheses.
        _check.name("name", name)
    limits = rate_limits(rate, "rate")
    is_open = check_on_unreachable(on_unreachable) == "open"

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        fixed = Connection(platform, name or f"{function.__module__}.{function.__qualname__}", rate_limit=limits)

        def connection(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Connection:
            return fixed if key is None else Connection(platform, key(*args, **kwargs), rate_limit=limits)

        def throttled(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return on_throttled(*args, **kwargs) if callable(on_throttled) else on_throttled

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                permit = (client or default_client()).try_acquire(connection(args, kwargs))
            except Unavailable:
                return function(*args, **kwargs) if is_open else throttled(args, kwargs)
            if permit is None:
                return throttled(args, kwargs)
            with permit:
                try:
                    return function(*args, **kwargs)
                except BaseException:
                    if release_on_error:
                        permit.give_back()
                    raise

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            try:
                permit = await (client or default_client()).aio.try_acquire(connection(args, kwargs))
            except Unavailable:
                return await function(*args, **kwargs) if is_open else await awaited(throttled(args, kwargs))
            if permit is None:
                return await awaited(throttled(args, kwargs))
            async with permit:
                try:
                    return await function(*args, **kwargs)
                except BaseException:
                    if release_on_error:
                        permit.give_back()
                    raise

        return call_async if inspect.iscoroutinefunction(function) else call

    return decorate
