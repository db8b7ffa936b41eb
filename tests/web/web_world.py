"""The web on a stage: real requests of the Functions host, the product on memory, a simulated tenant behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import azure.functions as func
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.crm.builtin import Builtin
from sync.graph.client import Graph
from sync.graph.gates import Gates
from sync.health import Checks, checks_of
from sync.meter import Meter
from sync.policies import Policies
from sync.web.admin import Admin
from sync.web.app import build
from sync.world import World
from tests.stage import FIRM, Stage

KEY = "a key for the tests"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Client:
    """Sends requests as the host does."""

    def __init__(self, application: ASGIApp) -> None:
        self._middleware = func.AsgiMiddleware(application)

    def get(self, url: str, key: str | None = KEY) -> Answer:
        """A question."""
        return self.send("GET", url, {} if key is None else {"X-Api-Key": key})

    def ask(self, method: str, url: str, json_body: Any = None, **headers: str) -> Answer:
        """A request to the admin API; with a body it is JSON."""
        given = {"X-Api-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if json_body is None:
            return self.send(method, f"/api/admin{url}", given)
        body = json.dumps(json_body).encode()
        return self.send(method, f"/api/admin{url}", {"Content-Type": "application/json", **given}, body)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Any request."""
        request = func.HttpRequest(
            method=method, url=f"http://localhost{url}", headers=headers, params={}, route_params={}, body=body
        )
        answer = asyncio.run(self._middleware.handle_async(request, None))
        return Answer(answer.status_code, dict(answer.headers), answer.get_body())


def an_admin(stage: Stage, world: World | None = None) -> Admin:
    """What the admin's routes work with: a worker of a stage, its own unless another is given."""
    worker = world or stage.world
    graph = Graph(stage.sessions, stage.signin, Meter(), Gates(stage.clock))
    checks = checks_of(worker, stage.blobs, stage.tenant.tenant_id, stage.signin.token, graph.reach)
    policies = Policies(stage.tables, stage.clock, FIRM)
    return Admin(worker, stage.tenant.tenant_id, policies, Checks(checks, stage.clock))


def the_web(stage: Stage) -> ASGIApp:
    """The whole application on a stage."""
    return the_application(stage.crm, an_admin(stage))


def the_application(crm: Builtin, admin: Admin) -> ASGIApp:
    """The application on these. It is made once, which takes longer than all that most tests ask of it, and led to what
    each asks about."""
    application, led_to = _made()

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        led_to["crm"].to, led_to["admin"].to = crm, admin
        await application(scope, receive, send)

    return asked


def description() -> dict[str, Any]:
    """The application as it describes itself."""
    return _made()[0].openapi()


class _Led:
    """Stands for whatever it was led to last."""

    to: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)


@cache
def _made() -> tuple[FastAPI, dict[str, _Led]]:
    led_to = {"crm": _Led(), "admin": _Led()}
    return build(led_to["crm"], KEY, led_to["admin"]), led_to  # type: ignore[arg-type]
