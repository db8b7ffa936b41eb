"""The web on a stage: real requests of the Functions host, the product on memory, a simulated tenant behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from fastapi import FastAPI

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

    def __init__(self, application: FastAPI) -> None:
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


def the_web(stage: Stage) -> FastAPI:
    """The whole application on a stage."""
    return build(stage.crm, KEY, an_admin(stage))
