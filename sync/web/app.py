"""The REST API: the built-in CRM, contact by contact, mail by mail, change by change; and the admin's, beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from pydantic import Field

from sync.crm.builtin import Builtin
from sync.web import (
    admin_audit,
    admin_exclusions,
    admin_health,
    admin_mailboxes,
    admin_policy,
    admin_runs,
    problems,
    shapes,
)
from sync.web.admin import Admin
from sync.web.asked import After, Limit, found, key_check, only

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

_Cursor = Annotated[str, Field(max_length=300, description="`cursor` of the answer before; empty for the beginning.")]

_Viewer = Annotated[str | None, Field(pattern=_USER, description=_WHO_ASKS)]


def build(crm: Builtin, api_key: str, admin: Admin) -> FastAPI:
    """The application for one CRM and its connection. Requests below /api/crm and /api/admin need `api_key` in
    X-Api-Key; an empty key lets nobody in."""
    app = FastAPI(
        title="Accord",
        version="1",
        description=(
            "Contacts, mails and changes of the CRM that comes with Accord; mailboxes, rules, runs and health for its "
            "admins. Times are ISO 8601 with a zone."
        ),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    problems.install(app)
    app.state.check = key_check(api_key)
    guarded = [Security(app.state.check)]
    app.include_router(_health())
    app.include_router(_contacts(crm), dependencies=guarded)
    app.include_router(_records(crm), dependencies=guarded)
    for part in (admin_health, admin_mailboxes, admin_exclusions, admin_policy, admin_runs, admin_audit):
        app.include_router(part.routes(admin), dependencies=guarded)
    return app


def _health() -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health", dependencies=[only()], responses=problems.told(422))
    def health() -> shapes.Health:
        """Whether the application runs. Looks at nothing behind it."""
        return shapes.Health(status="ok")

    return router


def _contacts(crm: Builtin) -> APIRouter:
    router = APIRouter(prefix="/api/crm/contacts", tags=["contacts"], responses=problems.told(401, 422, 503))

    @router.get("", dependencies=[only("limit", "after")])
    def contacts(limit: Limit = 50, after: After = "") -> shapes.ContactPage:
        """All contacts, page by page."""
        items, following = crm.contacts(limit, after)
        return shapes.ContactPage.model_validate({"items": items, "next": following})

    @router.get("/{key}", dependencies=[only()], responses=problems.told(404))
    def contact(key: str) -> shapes.ContactShape:
        """One contact."""
        return shapes.ContactShape.model_validate(found(crm.contact, _CONTACT, key))

    @router.get("/{key}/timeline", dependencies=[only("limit", "after", "viewer")], responses=problems.told(404))
    def timeline(key: str, limit: Limit = 50, after: After = "", viewer: _Viewer = None) -> shapes.TimelinePage:
        """What was exchanged with a contact, newest first."""
        found(crm.contact, _CONTACT, key)
        items, following = crm.timeline(key, limit, after, viewer)
        return shapes.TimelinePage.model_validate({"items": items, "next": following})

    @router.post("/import", dependencies=[only()], openapi_extra=_CONTACTS, responses=problems.told(413, 415))
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
    router = APIRouter(prefix="/api/crm", tags=["records"], responses=problems.told(401, 422, 503))

    @router.get("/mails/{key}", dependencies=[only("viewer")], responses=problems.told(404))
    def mail(key: str, viewer: _Viewer = None) -> shapes.MailShape:
        """One mail with its body, the people beside it and the mailboxes that have it."""
        return shapes.MailShape.model_validate(found(lambda one: crm.mail(one, viewer), _MAIL, key))

    @router.get("/mails/{key}/thread", dependencies=[only("limit", "after", "viewer")], responses=problems.told(404))
    def thread(key: str, limit: Limit = 50, after: After = "", viewer: _Viewer = None) -> shapes.TimelinePage:
        """The mails of this mail's conversation, itself among them, newest first."""
        items, following = found(lambda one: crm.thread(one, limit, after, viewer), _MAIL, key)
        return shapes.TimelinePage.model_validate({"items": items, "next": following})

    @router.get("/changes", dependencies=[only("limit", "cursor")])
    def changes(limit: Limit = 50, cursor: _Cursor = "") -> shapes.ChangePage:
        """What was created, changed or removed since the cursor. None is passed over: keep the cursor, ask again."""
        items, behind = crm.changes(cursor, limit)
        return shapes.ChangePage.model_validate({"items": items, "cursor": behind})

    return router


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
