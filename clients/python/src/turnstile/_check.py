"""Arguments, checked where they come in: what passes can be sent."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import InvalidInput, WrongType

NANOS = 1_000_000_000
"""Nanoseconds in a second."""

MAX_U32 = 2**32 - 1

MAX_WAIT_SECONDS = 30 * 24 * 3600
"""The longest timeout, and the longest ``max_wait``: 30 days."""


def integer(field: str, value: object, least: int) -> int:
    """A whole number from ``least`` to 2**32 - 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(field, f"is {value!r}: it takes an int")
    if not least <= value <= MAX_U32:
        raise InvalidInput(field, f"is {value}: it takes {least} to {MAX_U32}")
    return value


def optional_integer(field: str, value: object, least: int) -> int | None:
    """As :func:`integer`, or ``None``."""
    return None if value is None else integer(field, value, least)


def seconds(field: str, value: object, least: float, most: float) -> float:
    """A span in seconds from ``least`` to ``most``, both included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongType(field, f"is {value!r}: it takes a number of seconds")
    # Neither NaN nor an integer that is too large to be a float is between them.
    if not least <= value <= most:
        raise InvalidInput(field, f"is {value} s: it takes {_plain(least)} s to {_plain(most)} s")
    return float(value)


def optional_seconds(field: str, value: object, least: float, most: float) -> float | None:
    """As :func:`seconds`, or ``None``."""
    return None if value is None else seconds(field, value, least, most)


def name(field: str, value: object) -> str:
    """A part of a connection's identity: 1 to 256 bytes of UTF-8 without NUL."""
    if not isinstance(value, str):
        raise WrongType(field, f"is {value!r}: it takes a str")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(field, f"is {value!r}: it takes text that can be written as UTF-8") from error
    if not 1 <= size <= 256:
        raise InvalidInput(field, f"has {size} bytes: it takes 1 to 256")
    if "\0" in value:
        raise InvalidInput(field, f"is {value!r}: it takes no NUL")
    return value


def one_of(field: str, value: object, choices: Iterable[str]) -> str:
    """One of some words."""
    words = tuple(choices)
    if not isinstance(value, str):
        raise WrongType(field, f"is {value!r}: it takes a str")
    if value not in words:
        raise InvalidInput(field, f"is {value!r}: it takes {', '.join(words)}")
    return value


def function(field: str, value: object) -> None:
    """Anything that can be called."""
    if not callable(value):
        raise WrongType(field, f"is {value!r}: it takes a callable")


def blocking_function(field: str, value: object) -> None:
    """Anything that can be called and does its work meanwhile: the call of an ``async`` one starts nothing yet."""
    function(field, value)
    if is_async(value):
        raise WrongType(field, f"is {value!r}, which is async: it takes a function that is not; AsyncTurnstile takes this one")


def is_async(value: Any) -> bool:
    """Whether a call of it is to be awaited: of a function, or of an object that is called like one."""
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__)


def request_id(field: str, value: object) -> bytes:
    """What makes a retry the same request: a UUID or 16 bytes. ``None`` draws one."""
    if value is None:
        return uuid.uuid4().bytes
    if isinstance(value, uuid.UUID):
        return value.bytes
    if not isinstance(value, bytes):
        raise WrongType(field, f"is {value!r}: it takes a uuid.UUID or 16 bytes")
    if len(value) != 16:
        raise InvalidInput(field, f"has {len(value)} bytes: it takes 16")
    return value


def shape(field: str, value: object, kind: str, known: Iterable[str]) -> Mapping[str, object]:
    """A mapping with these keys at most, in place of a ``kind``. ``field`` is its path; empty for the whole argument."""
    if not isinstance(value, Mapping):
        raise WrongType(field or kind.lower(), f"is {value!r}: it takes a {kind} or a mapping")
    names = tuple(known)
    for key in value:
        if key not in names:
            raise InvalidInput(f"{field}.{key}" if field else str(key), f"is not known: there are {', '.join(names)}")
    return value


def required(field: str, value: Mapping[str, object], key: str) -> object:
    """What a mapping has under a key that it must have."""
    if key not in value:
        raise InvalidInput(f"{field}.{key}" if field else key, "is not set: it is required")
    return value[key]


def _plain(number: float) -> str:
    """Without an exponent, to the nanosecond."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def to_nanos(span_seconds: float) -> int:
    """A span as whole nanoseconds."""
    return round(span_seconds * NANOS)
