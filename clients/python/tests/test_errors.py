from __future__ import annotations

import copy
import pickle

import pytest

from turnstile import (
    AlreadyGranted,
    BoundReached,
    Closed,
    CostOverLimit,
    DeadlineExceeded,
    InvalidInput,
    NotNow,
    Refused,
    TurnstileError,
    Unavailable,
    WrongType,
)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("cost", "is 0: it takes 1 or more"),
        WrongType("cost", "is 'a': it takes an int"),
        CostOverLimit("cost", "is 3: the limit allows 2"),
        NotNow(1.5),
        DeadlineExceeded("the timeout of 1 s has passed"),
        BoundReached("too many wait", "queued_per_key", 2.5),
        Unavailable("no node has answered", 3.5),
        Refused("no", "NEWS"),
        AlreadyGranted("granted"),
        Closed("the client was closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_worker_process_arrives_as_it_was_raised(error: TurnstileError) -> None:
    for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
        assert vars(arrived) == vars(error)
