"""Errors on the web: application/problem+json (RFC 9457), a sentence for people, never a stack or a value sent in."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.errors import AccordError, BadItem, BadPolicy, Conflict, NeedsPerson, Retry

MEDIA_TYPE = "application/problem+json"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
_OWN = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """Why a request was not answered."""

    title: str = Field(description="What kind of problem this is.")
    status: int = Field(description="The HTTP status once more.")
    detail: str = Field("", description="What to do about it, where there is more to say.")
    remedy: str = Field("", description="What somebody must do first, where Microsoft refused and will go on refusing.")
    problems: list[str] = Field([], description="What is wrong with a policy, one by one, each with its path.")
    id: str = Field("", description="Find this problem in the log by its id; only for errors on our side.")


def told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How these errors are described in OpenAPI."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem(status: int, detail: str = "", **members: str | Sequence[str]) -> bytes:
    """The body of an error answer."""
    title = HTTPStatus(status).phrase
    told = {"detail": detail} if detail else {}
    return json.dumps({"title": title, "status": status, **told, **members}).encode()


def broken(error: BaseException) -> bytes:
    """The body for an error of ours; the log gets its class, the id in the answer, and our own sentence."""
    number = uuid.uuid4().hex
    # Only our own sentences are made to be read: a foreign exception may hold what somebody wrote.
    sentence = f": {error.sentence}" if isinstance(error, AccordError) else ""
    _log.error("Request failed: %s, id %s%s", type(error).__name__, number, sentence)
    return problem(500, "Something went wrong here. The log has it under the id.", id=number)


class Shield:
    """Around the application: security headers on every answer, and no exception leaves it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                names = {name for name, _ in _OWN}
                message["headers"] = [pair for pair in message["headers"] if pair[0].lower() not in names] + [*_OWN]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - the one door: a traceback must reach neither answer nor log
            body = broken(error)
            if not begun:
                await Response(body, 500, media_type=MEDIA_TYPE)(scope, receive, sent)


def install(app: FastAPI) -> None:
    """Have all errors of an application told this way."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BadItem, _bad_item)
    app.add_exception_handler(BadPolicy, _bad_policy)
    app.add_exception_handler(Retry, _retry)
    app.add_exception_handler(NeedsPerson, _needs_person)
    app.add_exception_handler(Conflict, _conflict)
    app.add_middleware(Shield)


def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the signature is Starlette's
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it with nothing else
    detail = "" if error.detail == HTTPStatus(error.status_code).phrase else error.detail
    return Response(problem(error.status_code, detail), error.status_code, error.headers, MEDIA_TYPE)


def _invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, RequestValidationError)  # noqa: S101
    told = dict.fromkeys(map(_fault, error.errors()))
    return Response(problem(422, " ".join(told)), 422, media_type=MEDIA_TYPE)


def _fault(one: Mapping[str, Any]) -> str:
    # The name of a field that nobody knows is something sent in, and not said again.
    unknown = one["type"] == "extra_forbidden"
    place = ".".join(map(str, one["loc"][:-1] if unknown else one["loc"]))
    return f"{place}: {'There is a field that this address does not know' if unknown else one['msg']}."


def _bad_item(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, BadItem)  # noqa: S101
    return Response(problem(422, f"{error.name}: {error.sentence}"), 422, media_type=MEDIA_TYPE)


def _bad_policy(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, BadPolicy)  # noqa: S101
    return Response(problem(422, error.sentence, problems=error.problems), 422, media_type=MEDIA_TYPE)


def _retry(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, Retry)  # noqa: S101
    after = {"Retry-After": str(max(1, round(error.after)))}
    return Response(problem(503, error.sentence), 503, after, MEDIA_TYPE)


def _needs_person(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, NeedsPerson)  # noqa: S101
    # 409: how things stand is in the way, and whoever mends that may ask again. A 502 would be asked again by itself.
    return Response(problem(409, error.sentence, remedy=error.remedy), 409, media_type=MEDIA_TYPE)


def _conflict(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, Conflict)  # noqa: S101
    return Response(problem(409, f"{error.sentence} Look again, then decide."), 409, media_type=MEDIA_TYPE)
