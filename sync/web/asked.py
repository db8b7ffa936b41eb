"""What routes have in common about what is asked of them: pages, keys, bodies, and nothing that is not known."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, HTTPException, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message

BODY_BYTES = 1024 * 1024

Limit = Annotated[int, Field(ge=1, le=200, description="How many to answer at most.")]
After = Annotated[str, Field(max_length=200, description="`next` of the answer before; empty for the beginning.")]

_T = TypeVar("_T")


class Body(BaseModel):
    """What somebody sends: names nobody knows and values of another type are refused (S39)."""

    model_config = ConfigDict(extra="forbid", strict=True)


class GuardedRoute(APIRoute):
    """A route behind the key whose body is JSON and no larger than BODY_BYTES.

    FastAPI reads and parses a body before it asks any dependency: here the key comes first, `app.state.check` looks at
    it, and what is too large is never read to its end.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.app.state.check(request.headers.get("x-api-key"))
            size = 0

            async def receive() -> Message:
                nonlocal size
                message = await request.receive()
                size += len(message.get("body", b""))
                if size > BODY_BYTES:
                    raise HTTPException(413, "The body is larger than 1 MB.")
                return message

            return await answer(Request(request.scope, receive))

        return guarded


def found(read: Callable[[str], _T | None], pattern: re.Pattern[str], key: str) -> _T:
    """What has this key, or 404; a key of another form is not looked for."""
    thing = read(key) if pattern.fullmatch(key) else None
    if thing is None:
        raise HTTPException(404, "There is nothing with this key.")
    return thing


def key_check(api_key: str) -> Callable[[str | None], None]:
    """A check of X-Api-Key; an empty key lets nobody in."""
    expected = api_key.encode()

    def check(given: Annotated[str | None, Security(APIKeyHeader(name="X-Api-Key", auto_error=False))]) -> None:
        # Compared in full whatever the first difference, so that the time taken tells nothing.
        same = hmac.compare_digest((given or "").encode(), expected)
        if not (same and expected):
            raise HTTPException(401, "Send the API key in the header X-Api-Key.", {"WWW-Authenticate": "ApiKey"})

    return check


def only(*names: str) -> Any:
    """A dependency that refuses query parameters other than these, and any given twice."""

    def check(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        if len(set(given)) < len(given):
            raise HTTPException(422, "A parameter is given twice.")
        if not set(given) <= set(names):
            known = ", ".join(names) or "none"
            raise HTTPException(422, f"There is a parameter this address does not know; it knows: {known}.")

    return Depends(check)
