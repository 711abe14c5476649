"""Things done at once, each in a thread of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from tests.conftest import Account

Result = TypeVar("Result")


def at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """What the calls return, in their order; none begins before all threads are there."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        start.wait(timeout=60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def callers(account: Account, count: int) -> list[Account]:
    """The same user so many times, each with a client of their own."""
    return [account._replace(client=account.client.application.test_client()) for _ in range(count)]
