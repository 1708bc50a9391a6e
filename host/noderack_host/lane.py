"""Finishes what is awaitable, from code that is not: node classes may have async methods anywhere."""

import asyncio
import threading
from collections.abc import Awaitable
from contextvars import copy_context
from typing import Any


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def finish(value: Any) -> Any:
    """The value itself, or what it gives when awaited. Inside a running event loop it blocks that loop."""
    if not hasattr(value, "__await__"):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(value))
    return _in_a_thread(value)


def _in_a_thread(awaitable: Awaitable[Any]) -> Any:
    found: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(asyncio.run(_awaited(awaitable)))
        except BaseException as cause:  # carried over to the caller's thread
            failed.append(cause)

    thread = threading.Thread(target=copy_context().run, args=(work,), name="noderack-finish")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
