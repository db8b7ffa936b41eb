"""The mailboxes in scope: take in, look, change, hurry, begin again, let go, and ask why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from pydantic import Field

from sync import explain, mailboxes, progress
from sync.model import MailboxRow
from sync.status import Shown
from sync.web import admin_shapes as shapes
from sync.web import problems
from sync.web.admin import Admin, router, with_body
from sync.web.asked import Limit, only

_After = Annotated[
    str, Field(pattern="^([0-9a-f]{32})?$", description="`next` of the answer before; empty for the beginning.")
]


def routes(admin: Admin) -> APIRouter:
    """Everything below /mailboxes."""
    answers = router("mailboxes")
    _lists(answers, admin)
    _one(answers, admin)
    _asks(answers, admin)
    return answers


def _lists(answers: APIRouter, admin: Admin) -> None:
    @answers.get("/mailboxes", dependencies=[only("limit", "after")])
    def mailboxes_in_scope(limit: Limit = 50, after: _After = "") -> shapes.MailboxPage:
        """All mailboxes in scope and how they stand, page by page."""
        page = mailboxes.page(admin.world, limit + 1, after)
        following = page[limit - 1].row.id if len(page) > limit else ""
        return shapes.MailboxPage(items=[_line(one.row, one.status) for one in page[:limit]], next=following)

    @answers.post(
        "/mailboxes",
        status_code=201,
        dependencies=[only()],
        responses={
            200: {"model": shapes.MailboxLine, "description": "It was in scope already; nothing changed."},
            **with_body(),
        },
    )
    def mailbox_added(given: shapes.MailboxAdded, response: Response) -> shapes.MailboxLine:
        """Take a mailbox into scope. Its new mail is captured from now on, its old mail follows. Whether there is such
        a mailbox shows as its status, a minute or two later."""
        before = mailboxes.find(admin.world, admin.connection, given.address)
        if before is not None:
            response.status_code = 200
            return _shown(admin, before)
        row = mailboxes.add(admin.world, admin.connection, given.address, given.owner)
        admin.noted("mailbox added", row.id)
        return _shown(admin, row)


def _one(answers: APIRouter, admin: Admin) -> None:
    missing = problems.told(404)

    @answers.get("/mailboxes/{id}", dependencies=[only()], responses=missing)
    def mailbox(id: str) -> shapes.MailboxWhole:
        """One mailbox, how it stands and how far it is."""
        row = admin.mailbox(id)
        far = shapes.ProgressShape.model_validate(progress.progress(admin.world, row))
        line = _shown(admin, row).model_dump()
        return shapes.MailboxWhole(**line, progress=far, busy=mailboxes.busy(admin.world, row))

    @answers.patch("/mailboxes/{id}", dependencies=[only()], responses=with_body(404))
    def mailbox_changed(id: str, given: shapes.MailboxChanged) -> shapes.MailboxLine:
        """Switch a mailbox off or on, say whose it is, pause or resume its old mail."""
        row = admin.mailbox(id)
        if given.owner is not None:
            row = mailboxes.assign(admin.world, row, given.owner)
            admin.noted("mailbox assigned", id)
        if given.backfill == "paused":
            progress.pause(admin.world, row)
            admin.noted("backfill paused", id)
        elif given.backfill == "running":
            progress.resume(admin.world, row)
            admin.noted("backfill resumed", id)
        if given.off is not None:
            mailboxes.switch(admin.world, row, given.off)
            admin.noted("mailbox switched off" if given.off else "mailbox switched on", id)
        return _shown(admin, admin.mailbox(id))

    @answers.delete("/mailboxes/{id}", status_code=204, dependencies=[only()], responses=missing)
    def mailbox_removed(id: str) -> None:
        """Take a mailbox out of scope. What was captured stays in the CRM; its exclusions count when it comes back."""
        mailboxes.remove(admin.world, admin.mailbox(id))
        admin.noted("mailbox removed", id)


def _asks(answers: APIRouter, admin: Admin) -> None:
    missing, refused = problems.told(404), problems.told(404, 409)

    @answers.post("/mailboxes/{id}/sync", status_code=202, dependencies=[only()], responses=refused)
    def mailbox_synced(id: str) -> shapes.Queued:
        """Have a mailbox looked at now; while Microsoft asks us to wait, as soon as that is over. 409 while it is
        switched off."""
        row = admin.mailbox(id)
        if row.off:
            raise HTTPException(409, "The mailbox is switched off: switch it on, and it catches up by itself.")
        mailboxes.sync_now(admin.world, row)
        admin.noted("mailbox asked", id)
        return shapes.Queued()

    @answers.post("/mailboxes/{id}/reset", status_code=202, dependencies=[only()], responses=missing)
    def mailbox_reset(id: str) -> shapes.Queued:
        """Forget how far a mailbox was and read it again from the start. Mail that the CRM has is recognised."""
        mailboxes.reset(admin.world, admin.mailbox(id))
        admin.noted("mailbox reset", id)
        return shapes.Queued()

    @answers.post("/mailboxes/{id}/explain", dependencies=[only()], responses=with_body(404, 409))
    def message_explained(id: str, given: shapes.Explained) -> shapes.ExplanationShape:
        """Why a message of a mailbox is kept or not, by today's rules and contacts, address by address. Asks Microsoft:
        409 where Microsoft refuses and somebody must act, with what to do as `remedy`; 503 where it asks to wait or
        does not answer, with Retry-After."""
        found = explain.explain(admin.world, admin.mailbox(id), given.message)
        admin.noted("mail explained", id)
        return shapes.ExplanationShape.model_validate(found)


def _shown(admin: Admin, row: MailboxRow) -> shapes.MailboxLine:
    return _line(row, mailboxes.status(admin.world, row))


def _line(row: MailboxRow, status: Shown) -> shapes.MailboxLine:
    own = {"id": row.id, "address": row.address, "owner": row.owner, "off": row.off, "backfill": row.backfill}
    return shapes.MailboxLine.model_validate({**own, **asdict(status)})
