"""Reading a function app: its host.json, its functions and their bindings, as Microsoft's worker finds them."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from dev.schedule import BadSchedule, Schedule

MODULE = "function_app"


class HostError(Exception):
    """The tree cannot be run; the text names every problem found."""


@dataclass(frozen=True, slots=True)
class Options:
    """host.json, durations in seconds. A missing value is what the host takes where it runs locally."""

    route_prefix: str = "api"
    timeout: float | None = 1800.0
    batch: int = 16
    threshold: int = 8
    max_dequeues: int = 5
    visibility: float = 0.0
    max_poll: float = 2.0
    base64: bool = True


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """Fires by its schedule, and once at start where `on_start` says so."""

    schedule: Schedule
    on_start: bool


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Fires for each message of a queue of the storage behind `connection`."""

    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Fires for requests to `route` (below the route prefix); no `methods` means all."""

    route: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A queue that the parameter (or `$return`) writes to."""

    parameter: str
    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class Function:
    """One function with what starts it. `annotation` is the type of the trigger's parameter, None where it has none."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    trigger: TimerTrigger | QueueTrigger | HttpTrigger
    parameter: str
    annotation: object
    wants_context: bool
    outputs: tuple[Output, ...]
    returns: bool


def read_options(path: Path) -> Options:
    """host.json as Options; raises HostError naming the file and the value that is wrong."""
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise HostError(f"{path.name} is missing in {path.parent}.") from None
    except ValueError as wrong:
        raise HostError(f"{path.name} is not JSON: {wrong}") from None
    if not isinstance(raw, dict) or raw.get("version") != "2.0":
        raise HostError(f'{path.name} must be an object with "version": "2.0".')
    usual = Options()
    extensions = raw.get("extensions", {})
    queues, http = extensions.get("queues", {}), extensions.get("http", {})
    batch = _whole(queues, "batchSize", usual.batch, 1, 32)
    encoding = queues.get("messageEncoding", "base64")
    if encoding not in ("base64", "none"):
        raise HostError(f"host.json: messageEncoding must be base64 or none, not {encoding!r}.")
    timeout = raw.get("functionTimeout")
    return Options(
        route_prefix=str(http.get("routePrefix", usual.route_prefix)).strip("/"),
        timeout=None if timeout == "-1" else _duration(raw, "functionTimeout", usual.timeout or 0),
        batch=batch,
        threshold=_whole(queues, "newBatchThreshold", batch // 2, 0, 1000),
        max_dequeues=_whole(queues, "maxDequeueCount", usual.max_dequeues, 1, 1000),
        visibility=_duration(queues, "visibilityTimeout", usual.visibility),
        max_poll=_duration(queues, "maxPollingInterval", usual.max_poll),
        base64=encoding == "base64",
    )


def _whole(values: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = values.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise HostError(f"host.json: {name} must be a whole number from {low} to {high}, not {value!r}.")
    return value


def _duration(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name)
    if value is None:
        return default
    found = re.fullmatch(r"(?:(\d+)\.)?([01]?\d|2[0-3]):([0-5]\d):([0-5]\d)(\.\d+)?", str(value))
    if found is None:
        raise HostError(f"host.json: {name} must be a time span such as 00:00:30, not {value!r}.")
    days, hours, minutes, seconds, fraction = found.groups(default="0")
    return int(days) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(fraction)


def load_app(root: Path) -> func.FunctionRegister:
    """Import function_app from `root` as if for the first time and return its one app object."""
    if not (root / f"{MODULE}.py").is_file():
        raise HostError(f"{MODULE}.py is missing in {root}.")
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()
    module = importlib.import_module(MODULE)
    names = [name for name, value in vars(module).items() if isinstance(value, func.FunctionRegister)]
    if not names:
        raise HostError(f"{MODULE}.py has no FunctionApp at module level.")
    if len(names) > 1:
        raise HostError(f"{MODULE}.py has more than one app object at module level: {', '.join(names)}.")
    return typing.cast(func.FunctionRegister, vars(module)[names[0]])


def read_functions(app: func.FunctionRegister, settings: Mapping[str, str]) -> tuple[Function, ...]:
    """All functions of an app. get_functions() works once per app object, so this does too.

    Raises HostError with everything that is wrong: unknown triggers and bindings, settings that are not set, schedules
    that cannot be read, parameters without a binding.
    """
    problems: list[str] = []
    found = [_Reader(settings, problems).read(one) for one in app.get_functions()]
    functions = tuple(one for one in found if one is not None)
    if not found:
        problems.append("The app has no functions.")
    if problems:
        raise HostError(" ".join(dict.fromkeys(problems)))
    return functions


class _Reader:
    """Reads one function; what is wrong goes into `problems`, so that all of it is told at once."""

    def __init__(self, settings: Mapping[str, str], problems: list[str]) -> None:
        self._settings = settings
        self._problems = problems
        self._name = ""

    def read(self, one: Any) -> Function | None:
        self._name = one.get_function_name()
        binding = one.get_trigger()
        trigger = self._trigger(binding)
        outputs, returns = self._outputs([other for other in one.get_bindings() if other is not binding])
        call = one.get_user_function()
        parameters = set(inspect.signature(call).parameters)
        bound = {binding.name, *(output.parameter for output in outputs)} - {"$return"}
        self._check_parameters(parameters, bound)
        if one.get_settings_dict("retry_policy"):
            self._problem("has a retry policy, which the local host does not imitate")
        if trigger is None:
            return None
        return Function(
            name=self._name,
            call=call,
            is_async=inspect.iscoroutinefunction(call),
            trigger=trigger,
            parameter=binding.name,
            annotation=self._annotation(call, binding.name, trigger),
            wants_context="context" in parameters - bound,
            outputs=outputs,
            returns=returns,
        )

    def _problem(self, sentence: str) -> None:
        self._problems.append(f"The function {self._name} {sentence}.")

    def _trigger(self, binding: Any) -> TimerTrigger | QueueTrigger | HttpTrigger | None:
        if binding.type == "timerTrigger":
            text = self._resolved(binding.schedule)
            try:
                return TimerTrigger(Schedule.parse(text), bool(binding.run_on_startup)) if text else None
            except BadSchedule as wrong:
                self._problems.append(f"The function {self._name}: {wrong}")
                return None
        if binding.type == "queueTrigger":
            return QueueTrigger(self._resolved(binding.queue_name), self._connection(binding.connection))
        if binding.type == "httpTrigger":
            methods = tuple(str(getattr(method, "value", method)).upper() for method in binding.methods or ())
            return HttpTrigger(self._resolved(binding.route or self._name).strip("/"), methods)
        self._problem(f"has a {binding.type}, which the local host does not run")
        return None

    def _outputs(self, bindings: Sequence[Any]) -> tuple[tuple[Output, ...], bool]:
        outputs, returns = [], False
        for binding in bindings:
            if binding.type == "http" and binding.name == "$return":
                returns = True
            elif binding.type == "queue" and int(binding.direction) == 1:
                queue, connection = self._resolved(binding.queue_name), self._connection(binding.connection)
                outputs.append(Output(binding.name, queue, connection))
                returns = returns or binding.name == "$return"
            else:
                self._problem(f"has a binding {binding.name} of type {binding.type}, which the local host does not run")
        return tuple(outputs), returns

    def _resolved(self, text: str) -> str:
        return re.sub(r"%([^%]+)%", lambda found: self._setting(found[1]), text)

    def _setting(self, name: str) -> str:
        value = self._settings.get(name, "")
        if not value:
            self._problem(f"needs the setting {name}, which is not set")
        return value

    def _connection(self, name: str) -> str:
        # The host looks for the name as it is and then with its own prefix.
        return self._settings.get(f"AzureWebJobs{name}") or self._setting(name)

    def _check_parameters(self, parameters: set[str], bound: set[str]) -> None:
        if unbound := parameters - bound - {"context"}:
            self._problem(f"has parameters without a binding: {', '.join(sorted(unbound))}")
        if missing := bound - parameters:
            self._problem(f"has bindings without a parameter: {', '.join(sorted(missing))}")

    def _annotation(self, call: Callable[..., Any], parameter: str, trigger: object) -> object:
        annotation = typing.get_type_hints(call).get(parameter)
        fitting: tuple[type, ...] = (func.HttpRequest,)
        if isinstance(trigger, TimerTrigger):
            fitting = (func.TimerRequest, str)
        elif isinstance(trigger, QueueTrigger):
            fitting = (func.QueueMessage, str, bytes)
        if annotation is not None and not (isinstance(annotation, type) and issubclass(annotation, fitting)):
            self._problem(f"takes {parameter} as {annotation}, which does not fit its trigger")
        return annotation
