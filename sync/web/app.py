"""The REST API of the built-in CRM: what it knows, contact by contact, mail by mail, change by change."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import Field

from sync.crm.builtin import Builtin
from sync.web import problems, shapes

FILE_BYTES = 100 * 1024 * 1024  # the Functions host takes no larger request
_CONTACT = re.compile(r"c[0-9a-f]{32}")
_USER = "^u[0-9a-f]{32}$"
_MAIL = re.compile(r"m[0-9a-f]{32}")
_FILE = {"schema": {"type": "string", "format": "binary"}}
_CONTACTS = {"requestBody": {"required": True, "content": {"text/csv": _FILE, "text/vcard": _FILE}}}
_VCARD = ("text/vcard", "text/x-vcard", "text/directory")  # today's name and what was sent before RFC 6350

_WHO_ASKS = (
    "The key of the user who is to see the answer: it lacks people whom others alone know from a Bcc. "
    "Without it the answer is an admin's."
)

_T = TypeVar("_T")
_Limit = Annotated[int, Field(ge=1, le=200, description="How many to answer at most.")]
_After = Annotated[str, Field(max_length=200, description="`next` of the answer before; empty for the beginning.")]
_Cursor = Annotated[str, Field(max_length=300, description="`cursor` of the answer before; empty for the beginning.")]

_Viewer = Annotated[str | None, Field(pattern=_USER, description=_WHO_ASKS)]


def build(crm: Builtin, api_key: str) -> FastAPI:
    """The application for one CRM. Requests below /api/crm need `api_key` in X-Api-Key; an empty key lets nobody in."""
    app = FastAPI(
        title="Accord CRM",
        version="1",
        description="Contacts, mails and changes of the CRM that comes with Accord. Times are ISO 8601 with a zone.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    problems.install(app)
    guarded = [Security(_key_check(api_key))]
    app.include_router(_health())
    app.include_router(_contacts(crm), dependencies=guarded)
    app.include_router(_records(crm), dependencies=guarded)
    return app


def _health() -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health", dependencies=[_only()], responses=problems.told(422))
    def health() -> shapes.Health:
        """Whether the application runs. Looks at nothing behind it."""
        return shapes.Health(status="ok")

    return router


def _contacts(crm: Builtin) -> APIRouter:
    router = APIRouter(prefix="/api/crm/contacts", tags=["contacts"], responses=problems.told(401, 422))

    @router.get("", dependencies=[_only("limit", "after")])
    def contacts(limit: _Limit = 50, after: _After = "") -> shapes.ContactPage:
        """All contacts, page by page."""
        items, following = crm.contacts(limit, after)
        return shapes.ContactPage.model_validate({"items": items, "next": following})

    @router.get("/{key}", dependencies=[_only()], responses=problems.told(404))
    def contact(key: str) -> shapes.ContactShape:
        """One contact."""
        return shapes.ContactShape.model_validate(_found(crm.contact, _CONTACT, key))

    @router.get("/{key}/timeline", dependencies=[_only("limit", "after", "viewer")], responses=problems.told(404))
    def timeline(key: str, limit: _Limit = 50, after: _After = "", viewer: _Viewer = None) -> shapes.TimelinePage:
        """What was exchanged with a contact, newest first."""
        _found(crm.contact, _CONTACT, key)
        items, following = crm.timeline(key, limit, after, viewer)
        return shapes.TimelinePage.model_validate({"items": items, "next": following})

    @router.post("/import", dependencies=[_only()], openapi_extra=_CONTACTS, responses=problems.told(413, 415))
    def contacts_import(file: Annotated[_File, Depends(_file)]) -> shapes.ImportShape:
        """Contacts from a CSV file as Outlook, Google Contacts or Salesforce export it, or from vCards of any version,
        up to 100 MB. Importing a file twice changes nothing; a row or card that cannot be used is an error with its
        line, the others are imported. Where a large import is cut off (Azure ends a request after 230 seconds), send
        the file again: what is imported already takes little time."""
        report = crm.import_vcards(file.data) if file.vcard else crm.import_contacts(file.data)
        return shapes.ImportShape(
            imported=report.imported,
            unchanged=report.unchanged,
            errors=[{"line": line, "sentence": sentence} for line, sentence in report.errors],
            error_count=report.error_count,
        )

    return router


def _records(crm: Builtin) -> APIRouter:
    router = APIRouter(prefix="/api/crm", tags=["records"], responses=problems.told(401, 422))

    @router.get("/mails/{key}", dependencies=[_only("viewer")], responses=problems.told(404))
    def mail(key: str, viewer: _Viewer = None) -> shapes.MailShape:
        """One mail with its body, the people beside it and the mailboxes that have it."""
        return shapes.MailShape.model_validate(_found(lambda one: crm.mail(one, viewer), _MAIL, key))

    @router.get("/mails/{key}/thread", dependencies=[_only("limit", "after", "viewer")], responses=problems.told(404))
    def thread(key: str, limit: _Limit = 50, after: _After = "", viewer: _Viewer = None) -> shapes.TimelinePage:
        """The mails of this mail's conversation, itself among them, newest first."""
        items, following = _found(lambda one: crm.thread(one, limit, after, viewer), _MAIL, key)
        return shapes.TimelinePage.model_validate({"items": items, "next": following})

    @router.get("/changes", dependencies=[_only("limit", "cursor")])
    def changes(limit: _Limit = 50, cursor: _Cursor = "") -> shapes.ChangePage:
        """What was created, changed or removed since the cursor. None is passed over: keep the cursor, ask again."""
        items, behind = crm.changes(cursor, limit)
        return shapes.ChangePage.model_validate({"items": items, "cursor": behind})

    return router


def _found(read: Callable[[str], _T | None], pattern: re.Pattern[str], key: str) -> _T:
    """What has this key, or 404; a key of another form is not looked for."""
    thing = read(key) if pattern.fullmatch(key) else None
    if thing is None:
        raise HTTPException(404, "There is nothing with this key.")
    return thing


def _key_check(api_key: str) -> Callable[[str | None], None]:
    expected = api_key.encode()

    def check(given: Annotated[str | None, Security(APIKeyHeader(name="X-Api-Key", auto_error=False))]) -> None:
        # Compared in full whatever the first difference, so that the time taken tells nothing.
        same = hmac.compare_digest((given or "").encode(), expected)
        if not (same and expected):
            raise HTTPException(401, "Send the API key in the header X-Api-Key.", {"WWW-Authenticate": "ApiKey"})

    return check


def _only(*names: str) -> Any:
    """A dependency that refuses query parameters other than these, and any given twice."""

    def check(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        if len(set(given)) < len(given):
            raise HTTPException(422, "A parameter is given twice.")
        if not set(given) <= set(names):
            known = ", ".join(names) or "none"
            raise HTTPException(422, f"There is a parameter this address does not know; it knows: {known}.")

    return Depends(check)


@dataclass(frozen=True, slots=True)
class _File:
    """A file of contacts: vCards, or else CSV."""

    vcard: bool
    data: bytes


async def _file(request: Request) -> _File:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("text/csv", *_VCARD):
        raise HTTPException(415, "Send the file as text/csv or text/vcard.")
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > FILE_BYTES:
            raise HTTPException(413, "The file is larger than 100 MB.")
        pieces.append(piece)
    return _File(kind in _VCARD, b"".join(filter(None, pieces)))  # one piece, as the host hands it in, is not copied
