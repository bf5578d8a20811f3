"""The call that never waits: across all processes a function starts so many times in a window, and other calls return at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from . import _check
from .client import Turnstile
from .connection import Connection, RateLimit, RateLimitLike, rate_limits
from .errors import InvalidInput, Unavailable, WrongType
from .permit import BasePermit
from .throttling import AsyncThrottling, BlockingThrottling, OnUnreachable, is_open

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
Throttled_co = TypeVar("Throttled_co", covariant=True)
Awaited_co = TypeVar("Awaited_co", covariant=True)

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


class Decorator(Protocol[Throttled_co, Awaited_co]):
    """What :func:`throttle` makes: a decorator of functions and ``async`` functions, with what calls of these return without a slot."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T | Awaited_co]]: ...
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
    client: BlockingThrottling | AsyncThrottling | None = None,
) -> Decorator[None, None]: ...
@overload
def throttle(
    name: str | None = None,
    *,
    rate: RateLimitLike | Sequence[RateLimitLike],
    key: Callable[..., str] | None = None,
    platform: str = "function",
    on_throttled: Callable[..., Coroutine[Any, Any, U]],
    release_on_error: bool = False,
    on_unreachable: OnUnreachable = "closed",
    client: BlockingThrottling | AsyncThrottling | None = None,
) -> Decorator[Coroutine[Any, Any, U], U]: ...
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
    client: BlockingThrottling | AsyncThrottling | None = None,
) -> Decorator[U, U]: ...
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
    client: BlockingThrottling | AsyncThrottling | None = None,
) -> Decorator[U, U]: ...
def throttle(
    name: str | None = None,
    *,
    rate: RateLimitLike | Sequence[RateLimitLike],
    key: Callable[..., str] | None = None,
    platform: str = "function",
    on_throttled: object = None,
    release_on_error: bool = False,
    on_unreachable: OnUnreachable = "closed",
    client: BlockingThrottling | AsyncThrottling | None = None,
) -> Decorator[Any, Any]:
    """Makes a function start at most as often as ``rate`` allows, over all processes that decorate one of the same name. It never waits.

    A call without a slot returns ``on_throttled`` at once. The slot is used when the function starts, however long it runs. Functions and
    ``async`` functions are taken; ``@classmethod`` and ``@staticmethod`` go above it.

    :param name: what the limit belongs to; the function's module and qualified name if it is not said.
    :param rate: how often, in one limit or several.
    :param key: instead of ``name``, a function of the call's arguments that returns it.
    :param platform: the platform of the connection whose id the name is.
    :param on_throttled: what a call without a slot returns, or a callable that is called with the same arguments and returns it; for
        an ``async`` function an ``async`` one, too.
    :param release_on_error: gives the slot back when the function raises an ``Exception``, for functions that raise before they have
        reached anybody. One that is cancelled or interrupted may have reached somebody, and keeps it.
    :param on_unreachable: what is done when no node answers: ``"closed"`` does as without a slot, ``"open"`` calls the
        function unthrottled.
    :param client: whose nodes; without it those in ``TURNSTILE_NODES``. ``async`` functions take one of either kind.
    """
    if name is not None and key is not None:
        raise InvalidInput("key", "is set beside a name: only one of them is taken")
    if key is not None:
        _check.function("key", key)
    if name is not None:
        # Also of a decorator that was written without parentheses.
        _check.name("name", name)
    if not isinstance(client, (BlockingThrottling, AsyncThrottling, type(None))):
        raise WrongType("client", f"is {client!r}: it takes a Turnstile")
    _check.name("platform", platform)
    limits = rate_limits(rate, "rate")
    return _Decorating(name, platform, limits, key, on_throttled, release_on_error, is_open(on_unreachable), client)


@dataclass(frozen=True, slots=True)
class _Decorating:
    """What was said to :func:`throttle`, checked."""

    name: str | None
    platform: str
    limits: tuple[RateLimit, ...]
    key: Callable[..., str] | None
    on_throttled: object
    release_on_error: bool
    is_open: bool
    client: BlockingThrottling | AsyncThrottling | None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        is_async = _is_async(function)
        if isinstance(self.client, AsyncThrottling) and not is_async:
            raise WrongType("client", f"is {self.client!r}: {function!r} is not async, and takes a Turnstile")
        connection = self._connection_of(function)
        # What is entered in place of a permit when no node answers.
        unthrottled = nullcontext() if self.is_open else None

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            client = self.client if isinstance(self.client, BlockingThrottling) else default_client()
            held: AbstractContextManager[object] | None
            try:
                held = client.try_acquire(connection(args, kwargs))
            except Unavailable:
                held = unthrottled
            if held is None:
                return self._throttled(args, kwargs)
            with held:
                try:
                    return function(*args, **kwargs)
                except Exception:
                    self._failed(held)
                    raise

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            either = self.client or default_client()
            client = either.aio if isinstance(either, BlockingThrottling) else either
            held: AbstractAsyncContextManager[object] | None
            try:
                held = await client.try_acquire(connection(args, kwargs))
            except Unavailable:
                held = unthrottled
            if held is None:
                answer = self._throttled(args, kwargs)
                return await answer if inspect.isawaitable(answer) else answer
            async with held:
                try:
                    return await function(*args, **kwargs)
                except Exception:
                    self._failed(held)
                    raise

        return call_async if is_async else call

    def _connection_of(self, function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Connection]:
        """By the arguments of a call."""
        key = self.key
        if key is None:
            fixed = Connection(self.platform, self.name or _own_name(function), rate_limit=self.limits)
            return lambda _args, _kwargs: fixed
        return lambda args, kwargs: Connection(self.platform, _check.name("key", key(*args, **kwargs)), rate_limit=self.limits)

    def _throttled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.on_throttled(*args, **kwargs) if callable(self.on_throttled) else self.on_throttled

    def _failed(self, held: object) -> None:
        if self.release_on_error and isinstance(held, BasePermit):
            held.give_back()


def _is_async(function: object) -> bool:
    """Whether it is to be awaited. Raises :class:`~turnstile.InvalidInput` when it is nothing whose start can be held back."""
    if isinstance(function, (classmethod, staticmethod)) or not callable(function):
        raise WrongType("function", f"is {function!r}: it takes a function; @classmethod and @staticmethod go above @throttle")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidInput("function", f"is {function!r}, which starts when its generator is first asked, not when it is called")
    return _check.is_async(function)


def _own_name(function: Callable[..., Any]) -> str:
    try:
        name = f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        raise InvalidInput("name", f"is not set, and {function!r} has none of its own") from None
    return _check.name("name", name)
