"""Small function apps for the local host, and what a test of it asks again and again."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from dev.host import Host

QUEUES = {"batchSize": 4, "newBatchThreshold": 2, "maxDequeueCount": 3, "visibilityTimeout": "00:00:00"}

ECHO = """
    import json

    def shown(req):
        return json.dumps([req.method, req.url, dict(req.params), dict(req.route_params), req.get_body().decode()])

    @app.route("{*rest}")
    def everything(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("everything " + shown(req), headers={"X-One": "1"})

    @app.route("people/{name}", methods=["GET", "PUT"])
    async def person(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(shown(req), mimetype="application/json")

    @app.route("people/me")
    def me(req: func.HttpRequest) -> str:
        return "me"

    @app.route("numbers/{number:int}/{unit?}")
    def number(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(json.dumps(dict(req.route_params)), status_code=201)

    @app.route("broken")
    def broken(req: func.HttpRequest) -> func.HttpResponse:
        raise RuntimeError("secret detail")
"""


def write_app(folder: Path, code: str, prefix: str = "", **queues: Any) -> Path:
    """Write a function app and its host.json; its code sees `func`, `app`, a list `seen` and an event `go`."""
    (folder / "function_app.py").write_text(
        "import threading\nimport time\nimport azure.functions as func\n"
        "app = func.FunctionApp(func.AuthLevel.ANONYMOUS)\nseen = []\ngo = threading.Event()\n" + dedent(code),
        "utf-8",
    )
    host = {"version": "2.0", "extensions": {"queues": QUEUES | queues, "http": {"routePrefix": prefix}}}
    (folder / "host.json").write_text(json.dumps(host), "utf-8")
    return folder


def seen() -> list[Any]:
    """What the running app noted."""
    return list(running_app().seen)


def running_app() -> Any:
    """The module of the running app; it outlives the host for whoever holds it."""
    return sys.modules["function_app"]


def until(true: Callable[[], Any], what: str, seconds: float = 10) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@contextmanager
def queue(account: str, name: str) -> Iterator[QueueClient]:
    """A queue as the product sees it: base64 on the wire."""
    policy = TextBase64EncodePolicy()
    with QueueClient.from_connection_string(account, name, message_encode_policy=policy, use_env_settings=False) as one:
        yield one


def put(account: str, name: str, *texts: str, delay: int = 0) -> None:
    """Send messages to a queue that is created where it is missing."""
    with queue(account, name) as client:
        try:
            client.get_queue_properties()
        except ResourceNotFoundError:
            client.create_queue()
        for text in texts:
            client.send_message(text, visibility_timeout=delay)


def left_in(account: str, name: str) -> int:
    """How many messages a queue holds."""
    with queue(account, name) as client:
        return int(client.get_queue_properties().approximate_message_count)


def ask(
    host: Host, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """One request to the running host: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=10)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()
