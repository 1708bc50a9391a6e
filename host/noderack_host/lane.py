"""Finishes what is awaitable, from code that is not: node classes may have async methods anywhere."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from typing import Any

from noderack_host.running import Running, use


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


async def together(results: Sequence[tuple[Running, Any]]) -> list[Any]:
    """The results in their order, the awaitable ones awaited all at once; one failure cancels the rest."""
    tasks = [asyncio.ensure_future(_one(running, value)) for running, value in results]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:  # a node failed or was cancelled: so are its other calls
        for task in tasks:
            task.cancel()
        raise


async def _one(running: Running, value: Any) -> Any:
    if not hasattr(value, "__await__"):
        return value
    with use(running):
        return await value


class Lane:
    """An event loop in a thread of its own, for async nodes: they run beside each other and all other work.

    `submit` starts a coroutine in a copy of the caller's context; `on_done(result, error)` is called in the
    lane's thread. The thread is made by the first `submit`.
    """

    def __init__(self, enter: Callable[[], None] = lambda: None) -> None:
        self._enter = enter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(
        self, coroutine: Coroutine[Any, Any, Any], on_done: Callable[[Any, BaseException | None], None]
    ) -> None:
        context = copy_context()
        self._started().call_soon_threadsafe(self._begin, coroutine, on_done, context)

    def _begin(
        self,
        coroutine: Coroutine[Any, Any, Any],
        on_done: Callable[[Any, BaseException | None], None],
        context: Context,
    ) -> None:
        self._enter()
        task = context.run(asyncio.ensure_future, coroutine)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, on_done))

    def _finished(
        self, task: asyncio.Task[Any], on_done: Callable[[Any, BaseException | None], None]
    ) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            on_done(None, asyncio.CancelledError())
        else:
            error = task.exception()
            on_done(None if error else task.result(), error)

    def cancel(self) -> None:
        """Cancels everything that is under way; each `on_done` still comes, with CancelledError."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])

    def close(self) -> None:
        """Stops the thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=_serve, args=(self._loop,), name="noderack-async-nodes", daemon=True
            ).start()
        return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()
