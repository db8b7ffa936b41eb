"""Running one function: its arguments, its thread or loop, its outputs, and what is counted and logged about it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.core.exceptions import AzureError

from dev.host_app import Function, Output

log = logging.getLogger("dev.host")


class Failed(Exception):
    """An invocation failed; the text is one line, the cause is already logged."""


class Cancelled(Exception):
    """The host stops: the invocation was never started."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Distributed tracing, which the local host does not do."""

    trace_state: str = ""
    trace_parent: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class Context(func.Context):
    """What a function that asks for `context` gets."""

    def __init__(self, name: str, directory: Path, local: threading.local) -> None:
        self._name = name
        self._directory = directory
        self._local = local
        self._id = str(uuid.uuid4())

    @property
    def invocation_id(self) -> str:
        return self._id

    @property
    def thread_local_storage(self) -> Any:
        return self._local

    @property
    def function_name(self) -> str:
        return self._name

    @property
    def function_directory(self) -> str:
        return str(self._directory)

    @property
    def trace_context(self) -> Any:
        return Trace()

    @property
    def retry_context(self) -> Any:
        return None


class Out(func.Out[Any]):
    """An output parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class Invoker:
    """Runs functions as the worker does: plain ones in a pool of `threads`, async ones all on one loop."""

    def __init__(
        self,
        root: Path,
        threads: int | None,
        timeout: float | None,
        send: Callable[[Output, Any], None],
        verbose: bool = False,
    ) -> None:
        self._root = root
        self._timeout = timeout
        self._send = send
        self._verbose = verbose
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "function")
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="functions-loop", daemon=True)
        self._loop_thread.start()
        self._local = threading.local()
        self._changed = threading.Condition()
        self._running: Counter[str] = Counter()
        self._started: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []

    def invoke(self, function: Function, value: Any, renew: Callable[[], None] | None = None, every: float = 60) -> Any:
        """Run a function to its end and send its outputs; returns what it returned.

        While it runs, `renew` is called `every` so many seconds. Raises Failed, or Cancelled while the host stops.
        """
        with self._changed:
            self._started[function.name] += 1
            self._running[function.name] += 1
        try:
            outs = {output.parameter: Out() for output in function.outputs if output.parameter != "$return"}
            result = self._wait(function, self._begin(function, value, outs), renew, every)
            self._finish(function, outs, result)
            return result
        finally:
            with self._changed:
                self._running[function.name] -= 1
                self._changed.notify_all()

    def running(self) -> tuple[str, ...]:
        """The names of the functions that run right now."""
        with self._changed:
            return tuple(+self._running)

    def started(self) -> dict[str, int]:
        """Invocations by function."""
        with self._changed:
            return dict(self._started)

    def failed(self) -> dict[str, int]:
        """Failed invocations by function."""
        with self._changed:
            return dict(self._failed)

    def fail(self, function: str, sentence: str, error: BaseException | None = None) -> Failed:
        """Log and count a failure in one line; returns it, to be raised."""
        line = " ".join(sentence.split())
        with self._changed:
            self._failed[function] += 1
            self.failures.append((function, line))
        log.error("%s failed: %s", function, line, exc_info=error if self._verbose else None)
        return Failed(line)

    def drain(self, seconds: float) -> bool:
        """Wait until nothing runs; says whether that came true in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not +self._running, seconds)

    def cancel_waiting(self) -> None:
        """Cancel what has no thread yet, and start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self, goodbye: Coroutine[Any, Any, Any] | None = None) -> None:
        """Start nothing more and end the loop, after `goodbye` ran on it."""
        self._pool.shutdown(wait=not self.running(), cancel_futures=True)
        if goodbye is not None:
            concurrent.futures.wait([asyncio.run_coroutine_threadsafe(goodbye, self._loop)], 5)
        concurrent.futures.wait([asyncio.run_coroutine_threadsafe(self._end_tasks(), self._loop)], 5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join(5)
        if not self._loop_thread.is_alive():
            self._loop.close()

    async def _end_tasks(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def _begin(self, function: Function, value: Any, outs: dict[str, Out]) -> concurrent.futures.Future[Any]:
        context = Context(function.name, self._root, self._local)
        arguments = {function.parameter: value, **outs}
        if function.wants_context:
            arguments["context"] = context
        if function.is_async:
            return asyncio.run_coroutine_threadsafe(self._call_async(function, arguments), self._loop)
        try:
            return self._pool.submit(self._call, function, context.invocation_id, arguments)
        except RuntimeError:
            raise Cancelled from None

    def _call(self, function: Function, invocation: str, arguments: dict[str, Any]) -> Any:
        self._local.invocation_id = invocation
        try:
            return function.call(**arguments)
        except SystemExit:
            raise RuntimeError("it called sys.exit(), which ends the whole worker on Azure") from None
        finally:
            self._local.invocation_id = None

    async def _call_async(self, function: Function, arguments: dict[str, Any]) -> Any:
        try:
            return await function.call(**arguments)
        except SystemExit:
            raise RuntimeError("it called sys.exit(), which ends the whole worker on Azure") from None

    def _wait(
        self,
        function: Function,
        future: concurrent.futures.Future[Any],
        renew: Callable[[], None] | None,
        every: float,
    ) -> Any:
        # Not futures.wait(): it never hears of a future that the closing pool cancels.
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        end = time.monotonic() + self._timeout if self._timeout else float("inf")
        while not future.done():
            left = end - time.monotonic()
            if left <= 0:
                raise self.fail(function.name, f"it ran longer than functionTimeout ({self._timeout:g} s)")
            done.wait(min(every, left, 3600))
            if renew is not None and not future.done():
                renew()
        if future.cancelled():
            raise Cancelled
        error = future.exception()
        if error is not None:
            raise self.fail(function.name, f"{type(error).__name__}: {error}", error) from error
        return future.result()

    def _finish(self, function: Function, outs: dict[str, Out], result: Any) -> None:
        if result is not None and not function.returns:
            kind = type(result).__name__
            raise self.fail(function.name, f"it returned a {kind} and has no $return binding to take it")
        for output in function.outputs:
            value = result if output.parameter == "$return" else outs[output.parameter].get()
            if value is None:
                continue
            try:
                self._send(output, value)
            except (AzureError, TypeError, ValueError, AttributeError) as error:
                text = f"its output to the queue {output.queue} failed: {type(error).__name__}: {error}"
                raise self.fail(function.name, text, error) from error
