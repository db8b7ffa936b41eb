"""The whole API by its own description: whatever is sent, no 500 and no answer that the description does not name.

schemathesis makes the requests; they go through a session whose only road is the Functions host's own request, as those
of every other test here do. Behind it stands a whole stage: the product on memory and a simulated tenant.
SOAK=1 tries many more.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from typing import Any

import azure.functions as func
import pytest
import requests
import schemathesis
from fastapi import FastAPI, HTTPException
from hypothesis import HealthCheck, settings
from requests.adapters import BaseAdapter
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3 import HTTPResponse

from dev.firm import Attachment
from dev.tenant.faults import Fault
from tests.stage import ADA, Stage
from tests.web.web_world import KEY, description, the_web

SOAK = bool(os.environ.get("SOAK"))
EXAMPLES = 300 if SOAK else 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class HostAdapter(BaseAdapter):
    """Sends what a session sends as the Functions host hands it to the application."""

    def __init__(self, middleware: Any) -> None:
        super().__init__()
        self._middleware = middleware

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        """One request."""
        body = request.body or b""
        answer = asyncio.run(
            self._middleware.handle_async(
                func.HttpRequest(
                    method=request.method,
                    url=request.url,
                    headers={name: str(value) for name, value in request.headers.items()},
                    params={},
                    route_params={},
                    body=body.encode() if isinstance(body, str) else body,
                ),
                None,
            )
        )
        got = requests.Response()
        got.status_code, got.request, got.url = answer.status_code, request, str(request.url)
        got.headers.update(dict(answer.headers))
        got.raw = HTTPResponse(io.BytesIO(answer.get_body()), dict(answer.headers), answer.status_code)
        got._content = answer.get_body()
        return got

    def close(self) -> None:
        """Nothing is open."""


class Firm:
    """The application with something of everything in it."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.application = the_web(self.stage)
        self.session = requests.Session()
        self.session.mount("http://", HostAdapter(func.AsgiMiddleware(self.application)))
        self.session.headers["X-Api-Key"] = KEY
        self.stage.mail(subject="there")
        self.mailbox = self.stage.add().id
        self.stage.settle()
        self.stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind="forbidden"))
        self.stage.mail(subject="another", attachments=(Attachment("plan.pdf", "application/pdf", b"%PDF"),))
        self.stage.settle()
        self.contact = self.stage.crm.contacts(1)[0][0].key
        self.mail = self.stage.crm.timeline(self.contact, 1)[0][0].key
        self.run = self.stage.world.log.runs(1, errors=True)[0][0].id

    def known(self, path: str) -> dict[str, Any]:
        """What stands in the places of a path, so that something is found there."""
        if "/mailboxes/" in path:
            self.stage.add(ADA)  # an earlier example may have removed it
            return {"id": self.mailbox}
        return {"id": self.run, "key": self.mail if "/mails/" in path else self.contact, "number": 1}


@pytest.fixture(scope="module")
def firm() -> Iterator[Firm]:
    made = Firm()
    yield made
    made.session.close()
    made.stage.close()


def described() -> Any:
    """The description, as the application gives it."""
    return schemathesis.openapi.from_dict(description())


schema = described()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=not SOAK, suppress_health_check=list(HealthCheck)
)
def test_no_request_meets_an_error_of_ours_or_an_answer_that_is_not_described(case: Any, firm: Firm) -> None:
    case.call_and_validate(base_url="http://localhost", session=firm.session, checks=CHECKS)
    if case.path_parameters:
        case.path_parameters = {
            **case.path_parameters,
            **{name: value for name, value in firm.known(case.path).items() if name in case.path_parameters},
        }
        case.call_and_validate(base_url="http://localhost", session=firm.session, checks=CHECKS)


def test_an_answer_that_is_not_described_would_be_noticed() -> None:
    application = FastAPI()

    @application.get("/odd")
    def odd() -> None:
        raise HTTPException(418)

    session = requests.Session()
    session.mount("http://", HostAdapter(func.AsgiMiddleware(application)))
    operation = schemathesis.openapi.from_dict(application.openapi())["/odd"]["GET"]

    with pytest.raises(FailureGroup):
        operation.Case().call_and_validate(base_url="http://localhost", session=session, checks=CHECKS)
    session.close()
