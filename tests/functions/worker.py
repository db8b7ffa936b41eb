"""Microsoft's Python worker, without its gRPC: `azure-functions-runtime` indexes and invokes a function app.

The runtime answers with protobuf messages; plain stand-ins with the same names are enough for it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime
from azure_functions_runtime import native_invocation
from azure_functions_runtime.bindings.datumdef import Datum


class _Message:
    """A protobuf message as the runtime fills it in: any field may be read, unset ones are None."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> None:
        return None


def _message(name: str, **constants: int) -> type[_Message]:
    return type(name, (_Message,), constants)


_PLAIN = (
    "WorkerInitResponse",
    "WorkerMetadata",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcRetryOptions",
    "FunctionMetadataResponse",
    "FunctionLoadResponse",
    "ParameterBinding",
    "TypedData",
    "InvocationResponse",
)


def _protos() -> SimpleNamespace:
    directions = {"in": 0, "out": 1, "inout": 2, "undefined": 0}
    return SimpleNamespace(
        StatusResult=_message("StatusResult", Failure=0, Success=1),
        BindingInfo=_message("BindingInfo", **directions),
        **{name: _message(name) for name in _PLAIN},
    )


class Worker:
    """Indexes the function app of a folder as the deployed worker would; raises ValueError with its refusal."""

    def __init__(self, folder: Path) -> None:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        runtime.start_threadpool_executor()
        self._loop = asyncio.new_event_loop()
        start = SimpleNamespace(capabilities={}, function_app_directory=str(folder))
        answer = self._run(
            runtime.worker_init_request(
                SimpleNamespace(
                    request=SimpleNamespace(worker_init_request=start),
                    properties={"protos": _protos(), "host": "127.0.0.1"},
                )
            )
        )
        if answer.result.status != 1:
            raise ValueError(answer.result.exception.message)
        indexed = self._run(runtime.functions_metadata_request(None)).function_metadata_results or []
        self.functions = {one.name: [json.loads(binding) for binding in one.raw_bindings] for one in indexed}
        self._ids = {one.name: one.function_id for one in indexed}

    def trigger(self, function: str) -> dict[str, Any]:
        """The trigger binding of a function."""
        return next(one for one in self.functions[function] if one["type"].lower().endswith("trigger"))

    def timer(self, function: str) -> Any:
        """Let a timer fire."""
        return self._invoke(function, Datum(json.dumps({"IsPastDue": False, "Schedule": {}}), "json"), {})

    def queue(self, function: str, text: str) -> Any:
        """Hand a queue message over."""
        when = Datum(json.dumps("2026-01-01T00:00:00+00:00"), "json")
        about = {
            "DequeueCount": Datum("1", "json"),
            "Id": Datum("id", "string"),
            "PopReceipt": Datum("receipt", "string"),
            "InsertionTime": when,
            "ExpirationTime": when,
            "NextVisibleTime": when,
        }
        return self._invoke(function, Datum(text, "string"), about)

    def http(self, function: str, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """GET a URL: status and body."""
        fields = {
            "method": Datum("GET", "string"),
            "url": Datum(url, "string"),
            "headers": {name: Datum(value, "string") for name, value in (headers or {}).items()},
            "query": {},
            "params": {},
            "body": Datum(b"", "bytes"),
        }
        answer = self._invoke(function, Datum(fields, "http"), {})
        return int(answer["status_code"].value), answer["body"].value

    def close(self) -> None:
        """Stop the threads of the runtime."""
        runtime.stop_threadpool_executor()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _invoke(self, function: str, given: Datum, about: dict[str, Datum]) -> Any:
        bound = [(self.trigger(function)["name"], given)]
        done, returned, _, error, trace = self._run(
            native_invocation.invocation_request_native(str(uuid.uuid4()), self._ids[function], bound, about)
        )
        if not done:
            raise RuntimeError(f"{function}: {error}\n{trace}")
        return None if returned is None else returned.value

    def _run(self, task: Any) -> Any:
        return self._loop.run_until_complete(task)
