from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from turnstile import Connection, InvalidInput, RateLimit, Turnstile, WrongType, throttle
from turnstile.testing import FakeTurnstile, installed

from .support import free_ports

if TYPE_CHECKING:
    from typing_extensions import assert_type

ONCE = RateLimit(1, 60)


def test_a_call_without_a_slot_returns_none_and_the_next_window_has_one() -> None:
    fake = FakeTurnstile()
    calls: list[int] = []

    @throttle("sync", rate={"requestCount": 2, "windowSeconds": 3}, client=fake)
    def sync(number: int) -> int:
        """Documented."""
        calls.append(number)
        return number

    assert [sync(number) for number in range(4)] == [0, 1, None, None]
    fake.clock.advance(2.999)
    assert sync(4) is None
    fake.clock.advance(0.001)
    assert sync(5) == 5
    assert calls == [0, 1, 5]
    assert (sync.__name__, sync.__doc__) == ("sync", "Documented.")


def test_the_key_is_a_name_or_the_functions_own_or_of_its_arguments() -> None:
    fake = FakeTurnstile()

    @throttle(rate=ONCE, client=fake)
    def own() -> str:
        return "ran"

    @throttle(rate=ONCE, key=lambda tenant, **_: f"sync/{tenant}", client=fake, platform="jobs")
    def by_tenant(tenant: str, force: bool = False) -> str:
        return tenant

    assert own() == "ran"
    assert fake.try_acquire(Connection("function", f"{__name__}.{own.__qualname__}", rate_limit=ONCE)) is None
    assert [by_tenant("a"), by_tenant("b", force=True), by_tenant("a")] == ["a", "b", None]
    assert fake.try_acquire(Connection("jobs", "sync/b", rate_limit=ONCE)) is None


def test_methods_are_taken() -> None:
    class Job:
        @throttle("job", rate=ONCE, client=FakeTurnstile())
        def run(self) -> Job:
            return self

        @classmethod
        @throttle("class", rate=ONCE, client=FakeTurnstile())
        def of_class(cls) -> type[Job]:
            return cls

        @staticmethod
        @throttle("static", rate=ONCE, client=FakeTurnstile())
        def static(word: str) -> str:
            return word

    job = Job()
    assert job.run() is job
    assert Job().run() is None
    assert [Job.of_class(), job.of_class()] == [Job, None]
    assert [Job.static("a"), job.static("b")] == ["a", None]


def test_a_type_checker_knows_what_a_call_returns() -> None:
    fake = FakeTurnstile()

    @throttle("plain", rate=ONCE, client=fake)
    def plain(word: str, *, times: int = 1) -> str:
        return word * times

    @throttle("valued", rate=ONCE, client=fake, on_throttled=0)
    def valued() -> str:
        return "ran"

    @throttle("waited", rate=ONCE, client=fake)
    async def waited(word: str) -> str:
        return word

    async def later(_word: str) -> int:
        return 1

    @throttle("answered", rate=ONCE, client=fake, on_throttled=later)
    async def answered(word: str) -> str:
        return word

    if TYPE_CHECKING:
        assert_type(plain("a", times=2), str | None)
        assert_type(valued(), str | int)
        # An error that is not there is one, too.
        plain(7)  # type: ignore[arg-type]
        valued("a")  # type: ignore[call-arg]

    async def main() -> list[str | int | None]:
        if TYPE_CHECKING:
            assert_type(await waited("a"), str | None)
            assert_type(await answered("a"), str | int)
        return [await waited("a"), await answered("a"), await answered("b")]

    assert [plain("a", times=2), valued(), *asyncio.run(main())] == ["aa", "ran", "a", "a", 1]
    assert inspect.signature(plain) == inspect.signature(inspect.unwrap(plain))
    assert inspect.iscoroutinefunction(waited)


@pytest.mark.parametrize(("on_throttled", "answer"), [("later", "later"), (0, 0), (lambda word: f"not {word}", "not now")])
def test_what_a_call_without_a_slot_returns_is_said(on_throttled: object, answer: object) -> None:
    @throttle("answer", rate=ONCE, client=FakeTurnstile(), on_throttled=on_throttled)
    def call(word: str) -> str:
        return word

    assert [call("now"), call("now")] == ["now", answer]


@pytest.mark.parametrize(("release_on_error", "runs"), [(False, 1), (True, 2)])
def test_a_function_that_raises_keeps_its_slot_unless_it_is_released(release_on_error: bool, runs: int) -> None:
    ran: list[int] = []

    @throttle("raises", rate=ONCE, client=FakeTurnstile(), release_on_error=release_on_error)
    def raises() -> None:
        ran.append(1)
        raise KeyError

    with pytest.raises(KeyError):
        raises()
    try:
        raises()
    except KeyError:
        assert release_on_error
    assert len(ran) == runs


def test_a_call_that_was_cancelled_may_have_reached_somebody_and_keeps_its_slot() -> None:
    @throttle("cancelled", rate=ONCE, client=FakeTurnstile(), release_on_error=True)
    async def call() -> str:
        has_begun.set()
        await asyncio.Event().wait()
        return "ran"

    has_begun = asyncio.Event()

    async def main() -> None:
        first = asyncio.create_task(call())
        await asyncio.wait_for(has_begun.wait(), 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await asyncio.wait_for(call(), 1) is None

    asyncio.run(main())


def test_an_unthrottled_function_that_raises_is_not_said_to_have_raised_for_want_of_a_node() -> None:
    fake = FakeTurnstile(is_reachable=False)

    def raises() -> None:
        raise KeyError

    async def raises_async() -> None:
        raise KeyError

    calls: list[Callable[[], object]] = [
        throttle("open", rate=ONCE, client=fake, on_unreachable="open")(raises),
        throttle("throttled", rate=ONCE, client=fake, on_throttled=raises)(list),
        lambda: fake.try_throttle(Connection("test", "open", rate_limit=ONCE), raises, on_unreachable="open"),
        lambda: asyncio.run(throttle("open", rate=ONCE, client=fake, on_unreachable="open")(raises_async)()),
        lambda: asyncio.run(fake.aio.try_throttle(Connection("test", "open", rate_limit=ONCE), raises_async, on_unreachable="open")),
    ]
    for call in calls:
        with pytest.raises(KeyError) as raised:
            call()
        assert raised.value.__context__ is None


def test_an_async_function_takes_a_client_of_either_kind() -> None:
    fake = FakeTurnstile()

    async def call() -> str:
        return "ran"

    async def main() -> list[str | None]:
        calls = [throttle("either", rate=ONCE, client=client)(call) for client in (fake.aio, fake)]
        return [await one() for one in calls]

    assert asyncio.run(main()) == ["ran", None]


def generates() -> Iterator[int]:
    yield 1


async def generates_async() -> AsyncIterator[int]:
    yield 1


class Takes:
    def __call__(self) -> str:
        return "ran"

    @classmethod
    def named(cls) -> str:
        return cls.__name__


@pytest.mark.parametrize(
    ("function", "field", "error"),
    [
        (generates, "function", InvalidInput),
        (generates_async, "function", InvalidInput),
        (vars(Takes)["named"], "function", WrongType),
        (staticmethod(generates), "function", WrongType),
        (7, "function", WrongType),
        (Takes(), "name", InvalidInput),
        (functools.partial(print), "name", InvalidInput),
    ],
)
def test_what_can_not_be_decorated_is_refused_when_it_is_decorated(function: Any, field: str, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as refused:
        throttle(rate=ONCE, client=FakeTurnstile())(function)
    assert refused.value.field == field


def test_what_has_no_name_of_its_own_is_given_one() -> None:
    call = throttle("takes", rate=ONCE, client=FakeTurnstile())(Takes())
    assert [call(), call()] == ["ran", None]


def test_what_is_called_like_an_async_function_is_awaited_like_one() -> None:
    class TakesAsync:
        async def __call__(self) -> str:
            return "ran"

    fake = FakeTurnstile()
    call = throttle("takes-async", rate=ONCE, client=fake.aio)(TakesAsync())

    async def main() -> list[str | None]:
        return [await call(), await call()]

    assert asyncio.run(main()) == ["ran", None]
    takes: Any = TakesAsync()
    with pytest.raises(WrongType, match="async"):
        fake.throttle(Connection("test", "takes-async", rate_limit=ONCE), takes)


@pytest.mark.parametrize(("result", "error"), [(None, WrongType), (7, WrongType), ("", InvalidInput), ("k" * 257, InvalidInput)])
def test_a_wrong_key_is_named(result: Any, error: type[InvalidInput]) -> None:
    @throttle(rate=ONCE, key=lambda: result, client=FakeTurnstile())
    def call() -> str:
        return "ran"

    with pytest.raises(error) as refused:
        call()
    assert refused.value.field == "key"


def test_a_function_whose_own_name_is_too_long_is_to_be_given_one() -> None:
    def call() -> None: ...

    call.__qualname__ = "call" * 100
    with pytest.raises(InvalidInput, match="name") as refused:
        throttle(rate=ONCE, client=FakeTurnstile())(call)
    assert refused.value.field == "name"


def test_without_nodes_it_is_closed_or_open() -> None:
    nobody = Turnstile([f"127.0.0.1:{free_ports(1)[0]}"])

    @throttle("closed", rate=ONCE, client=nobody, on_throttled="nobody")
    def closed() -> str:
        return "ran"

    @throttle("open", rate=ONCE, client=nobody, on_unreachable="open")
    def opened() -> str:
        return "ran"

    assert [closed(), opened(), opened()] == ["nobody", "ran", "ran"]
    nobody.close()


def test_the_default_client_can_be_replaced() -> None:
    @throttle("default", rate=ONCE)
    def call() -> str:
        return "ran"

    with installed() as fake:
        assert [call(), call()] == ["ran", None]
        fake.clock.advance(60)
        assert call() == "ran"


@pytest.mark.parametrize(
    ("arguments", "field", "error"),
    [
        ({"rate": 5}, "rate", WrongType),
        ({"rate": {"requestCount": 0, "windowSeconds": 1}}, "rate.requestCount", InvalidInput),
        ({"rate": ONCE, "name": ""}, "name", InvalidInput),
        ({"rate": ONCE, "name": print}, "name", WrongType),
        ({"rate": ONCE, "name": "a", "key": str}, "key", InvalidInput),
        ({"rate": ONCE, "key": "a"}, "key", WrongType),
        ({"rate": ONCE, "on_unreachable": "ajar"}, "on_unreachable", InvalidInput),
        ({"rate": ONCE, "platform": ""}, "platform", InvalidInput),
        ({"rate": ONCE, "client": "127.0.0.1:7878"}, "client", WrongType),
    ],
)
def test_a_wrong_argument_is_named_when_the_function_is_decorated(arguments: dict[str, Any], field: str, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as refused:
        throttle(**arguments)
    assert refused.value.field == field
