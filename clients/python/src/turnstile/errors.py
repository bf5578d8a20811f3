"""What a call can end with instead of a slot."""

from __future__ import annotations


class TurnstileError(Exception):
    """Anything that this package raises of its own.

    What it is made of are its ``args``, so that it can be pickled on its way from a worker process; ``str`` puts them into words.
    """


class InvalidInput(TurnstileError, ValueError):
    """An argument breaks a rule."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(field, rule)
        self.field = field
        """Which argument: its name, or its path where the value has parts, such as ``rate_limit.window_seconds``."""
        self.rule = rule
        """Its value, and the rule that it breaks."""

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}"


class WrongType(InvalidInput, TypeError):
    """An argument has a type that is not taken."""


class CostOverLimit(InvalidInput):
    """The request takes more than a whole window of a limit: split it."""


class NotNow(TurnstileError):
    """The wait is, or has become, longer than ``max_wait``. Nothing was charged."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        """Not before so many seconds from now; a lower bound."""

    def __str__(self) -> str:
        return f"no slot within the longest wait; not before {self.retry_after:.3f} s from now"


class DeadlineExceeded(TurnstileError, TimeoutError):
    """The timeout has passed in the queue. Nothing was charged."""


class BoundReached(TurnstileError):
    """A bound of the node, the connection or the session is reached: shed load, or raise it."""

    def __init__(self, message: str, bound: str, retry_after: float) -> None:
        super().__init__(message, bound, retry_after)
        self.bound = bound
        """The name of the bound."""
        self.retry_after = retry_after
        """When to come back, in seconds."""

    def __str__(self) -> str:
        return str(self.args[0])


class LimitsDiffer(TurnstileError):
    """The nodes are strict, and other limits are in force for the connection."""


class RequestIdReused(TurnstileError):
    """The request id belongs to a request with another niceness, cost or limits, or to one that is open in this process."""


class AlreadyGranted(TurnstileError):
    """A request of this id got its slot: do not call again unless it is known that the call was never started."""


class Superseded(TurnstileError):
    """A retry under the same request id took this one's place, and has the answer."""


class NotOpen(TurnstileError):
    """What was estimated can't be reconciled any more: its window has passed, it was given back, or its limits count no tokens."""


class Unavailable(TurnstileError):
    """No node could serve in time."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after
        """When to come back, in seconds."""

    def __str__(self) -> str:
        return str(self.args[0])


class Refused(TurnstileError):
    """A node has refused for a reason that this release does not know."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason)
        self.reason = reason
        """The node's word for it."""

    def __str__(self) -> str:
        return f"{self.args[0]} ({self.reason})"


class Closed(TurnstileError):
    """The client was closed."""
