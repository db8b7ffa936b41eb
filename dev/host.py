"""The local host: runs a function app on a given storage, as the Azure Functions host would, without Core Tools.

    python -m dev.host [--root DIR] [--port N] [--verbose]

reads host.json, local.settings.json and function_app.py of DIR and runs timers, queues and HTTP until Ctrl-C.

It does not imitate:
  - authorization levels and function keys: every HTTP function is open to this machine
  - triggers and bindings other than timer, queue and HTTP; retry policies
  - HTTP functions started through /admin/functions: call their route
  - several instances: no scaling out, no scaling to zero, no singleton lock for timers
  - timers that remember a missed run (use_monitor): past_due is always false
  - a worker process of its own: a function over functionTimeout counts as failed but cannot be ended
  - sign-in in front of the app (Easy Auth), identity-based connections, Key Vault references
  - limits of the platform: 30 s to start, 230 s for an HTTP answer, memory
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
import time

if __name__ == "__main__":
    # Until main() is reached Ctrl-C has nothing to stop, and ends without a traceback out of the imports below.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from dev.host_app import (
    MODULE,
    Function,
    HostError,
    HttpTrigger,
    Options,
    QueueTrigger,
    TimerTrigger,
    load_app,
    read_functions,
    read_options,
)
from dev.host_http import Door, Route, read_route
from dev.host_invoke import Cancelled, Failed, Invoker
from dev.host_queues import QueueListener, Requests, queue_argument, send_output
from dev.host_settings import STORAGE, problems, read_local_settings
from dev.host_timers import Timer
from dev.stopping import stop_by

log = logging.getLogger("dev.host")


@dataclass(frozen=True, slots=True)
class Counts:
    """Invocations and failures by function; what the host itself asked of queues, empty polls apart."""

    invocations: Mapping[str, int]
    failures: Mapping[str, int]
    host_queue_requests: int
    empty_polls: int


class Host:
    """Runs the function app in `root` from start() to stop().

    `settings` are the app's settings, put into the environment while it runs; `connection` is its storage
    (AzureWebJobsStorage). `poll_cap` shortens maxPollingInterval; `hold` is how long a message that is worked stays
    invisible. One host at a time in a process: the environment and the import of function_app are shared.
    """

    def __init__(
        self,
        root: Path,
        settings: Mapping[str, str],
        connection: str,
        port: int = 0,
        *,
        poll_cap: float | None = None,
        hold: float = 600,
        verbose: bool = False,
    ) -> None:
        self._root = root.resolve()
        self._settings = {**settings, STORAGE: connection}
        self._asked_port = port
        self._poll_cap = poll_cap
        self._hold = hold
        self._verbose = verbose
        self._undo: list[Callable[[], None]] = []
        self._requests = Requests()
        self._functions: dict[str, Function] = {}
        self._listeners: list[QueueListener] = []
        self._timers: dict[str, Timer] = {}
        self._routes: list[Route] = []

    def start(self) -> None:
        """Index the app and begin; raises HostError with all that is wrong, and leaves nothing behind then."""
        for noisy in ("azure", "urllib3"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        try:
            options = read_options(self._root / "host.json")
            self._enter()
            self._app = load_app(self._root)
            functions = read_functions(self._app, {**os.environ, **self._settings})
            self._functions = {one.name: one for one in functions}
            self._build(options)
        except BaseException:
            self._leave()
            raise
        self._door.open()
        for part in (*self._listeners, *self._timers.values()):
            part.start()

    def stop(self, seconds: float = 10) -> bool:
        """Take nothing new, wait up to `seconds` for what runs, let go of everything; False if something still ran."""
        end = time.monotonic() + seconds
        for part in (*self._timers.values(), *self._listeners):
            part.stop()
        drained = self._drain(end)
        if not drained:
            log.warning("Still running after %g s: %s", seconds, ", ".join(self._invoker.running()))
            # What waits for a thread never started: its message is given back for the next start.
            self._invoker.cancel_waiting()
            self._drain(time.monotonic() + 1)
        self._door.close()
        self._leave()
        return drained

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port of the HTTP functions on 127.0.0.1."""
        return self._door.port

    @property
    def functions(self) -> tuple[Function, ...]:
        """What was found, in the app's order."""
        return tuple(self._functions.values())

    def route(self, name: str) -> str:
        """The route of an HTTP function, with the prefix."""
        return next(route.template for route in self._routes if route.function.name == name)

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(function, error text) of every failed invocation, in order."""
        return list(self._invoker.failures)

    def counts(self) -> Counts:
        """What happened since the start."""
        requests = self._requests.counts()
        empty = requests.pop("empty", 0)
        return Counts(self._invoker.started(), self._invoker.failed(), sum(requests.values()), empty)

    def quiet(self) -> bool:
        """Nothing runs and no trigger queue holds a message: none visible, none delayed, none in flight."""
        before = self._invoker.started()
        if self._busy() or any(listener.waiting() for listener in self._listeners):
            return False
        # A function that began in between may have put a message where we had already looked.
        return self._invoker.started() == before and not self._busy()

    def invoke_timer(self, name: str) -> None:
        """Run a timer function now and wait for it; raises Failed with its error."""
        if name not in self._timers:
            raise HostError(f"There is no timer function {name!r}; there are: {', '.join(self._timers) or 'none'}.")
        self._timers[name].fire()

    def _drain(self, end: float) -> bool:
        parts = (*self._listeners, self._invoker)
        return all(part.drain(max(0, end - time.monotonic())) for part in parts)

    def _busy(self) -> bool:
        return bool(self._invoker.running()) or any(listener.held() for listener in self._listeners)

    def _enter(self) -> None:
        before = {name: os.environ.get(name) for name in self._settings}
        path = list(sys.path)

        def undo() -> None:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            sys.path[:] = path
            sys.modules.pop(MODULE, None)

        self._undo.append(undo)
        os.environ.update(self._settings)
        sys.path.insert(0, str(self._root))
        importlib.invalidate_caches()

    def _leave(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _build(self, options: Options) -> None:
        threads = self._settings.get("PYTHON_THREADPOOL_THREAD_COUNT") or os.environ.get(
            "PYTHON_THREADPOOL_THREAD_COUNT"
        )
        if threads and not (threads.isdecimal() and 1 <= int(threads) <= 1000):
            raise HostError(f"PYTHON_THREADPOOL_THREAD_COUNT must be a whole number, not {threads!r}.")
        self._routes = [
            read_route(one, one.trigger, options.route_prefix)
            for one in self.functions
            if isinstance(one.trigger, HttpTrigger)
        ]
        self._invoker = Invoker(
            self._root,
            int(threads) if threads else None,
            options.timeout,
            lambda output, value: send_output(output, value, options.base64),
            self._verbose,
        )
        self._undo.append(lambda: self._invoker.close(_goodbye(self._app)))
        try:
            self._door = Door(self._asked_port, self._routes, self._invoker.invoke, self._start_function)
        except OSError as error:
            raise HostError(f"Port {self._asked_port} cannot be used: {error.strerror}.") from None
        for one in self.functions:
            if isinstance(one.trigger, TimerTrigger):
                self._timers[one.name] = Timer(one, one.trigger, self._invoker)
            elif isinstance(one.trigger, QueueTrigger):
                self._listeners.append(self._listener(one, one.trigger, options))

    def _listener(self, function: Function, trigger: QueueTrigger, options: Options) -> QueueListener:
        listener = QueueListener(function, trigger, options, self._invoker, self._requests, self._poll_cap, self._hold)
        self._undo.append(listener.close)
        return listener

    def _start_function(self, name: str, text: str) -> tuple[int, str]:
        """What POST /admin/functions/<name> does: (status, sentence)."""
        function = self._functions.get(name)
        if function is None:
            return 404, f"There is no function {name}."
        if isinstance(function.trigger, HttpTrigger):
            return 400, f"{name} is an HTTP function: call its route."

        def run() -> None:
            try:
                if name in self._timers:
                    self._timers[name].fire()
                else:
                    self._invoker.invoke(function, queue_argument(function, text.encode(), id="", dequeue_count=1))
            except (Failed, Cancelled):
                log.debug("%s was started by hand and did not end well.", name)

        threading.Thread(target=run, name=f"admin {name}", daemon=True).start()
        return 202, ""


async def _goodbye(app: func.FunctionRegister) -> None:
    """End the lifespan of an ASGI app where one was begun.

    The library does it in __del__ on a loop of its own, which can wait for ever when the interpreter ends.
    """
    if isinstance(app, func.AsgiFunctionApp) and app.startup_task_done:
        app.startup_task_done = False
        await app.middleware.notify_shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a tree until Ctrl-C; returns the exit status."""
    text = "Runs a function app on the storage its local.settings.json names, until Ctrl-C."
    limits = "".join((__doc__ or "").partition("It does not imitate:")[1:])
    parser = argparse.ArgumentParser(
        "python -m dev.host", description=text, epilog=limits, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="where function_app.py is (this folder)")
    parser.add_argument("--port", type=int, default=7071, help="for the HTTP functions (7071)")
    parser.add_argument("--verbose", action="store_true", help="show whole tracebacks")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    stop = stop_by(signal.SIGINT, signal.SIGTERM)
    try:
        settings = read_local_settings(asked.root / "local.settings.json")
        if wrong := problems(asked.root, settings):
            raise HostError("\n".join(wrong))
        host = Host(asked.root, settings, settings[STORAGE], asked.port, verbose=asked.verbose)
        host.start()
    except HostError as refused:
        print(refused, file=sys.stderr)
        return 1
    for line in _listing(host):
        print(line)
    print(f"\n{limits}\nCtrl-C stops.", flush=True)
    stop.wait()
    if not host.stop():
        sys.stdout.flush()
        os._exit(1)  # what still runs cannot be ended in any other way
    return 0


def _listing(host: Host) -> list[str]:
    lines = ["Functions:"]
    width = max(len(one.name) for one in host.functions)
    for one in host.functions:
        what: Any = one.trigger
        if isinstance(what, TimerTrigger):
            shown = f"timer {what.schedule.text}"
        elif isinstance(what, QueueTrigger):
            shown = f"queue {what.queue}"
        else:
            shown = f"http://localhost:{host.port}/{host.route(one.name)} [{','.join(what.methods) or 'all methods'}]"
        lines.append(f"  {one.name:<{width}}  {shown}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
