"""Logs & Errors: runs, their items, and having them done again (T1 to T6)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from sync.model import Run
from sync.web import admin_run_shapes as shapes
from sync.web import problems
from sync.web.admin import Admin, router
from sync.web.asked import After, Limit, found, only

_RUN = re.compile(r"[0-9a-f]{32}")
_MAILBOX = "^([0-9a-f]{32})?$"
_Mailbox = Annotated[str, Field(pattern=_MAILBOX, description="The id of a mailbox; empty for all.")]
_Errors = Annotated[bool, Field(description="Only what failed.")]
_Since = Annotated[shapes.Moment | None, Field(description="Begun at this moment or later, with its zone.")]
_Until = Annotated[shapes.Moment | None, Field(description="Begun before this moment, with its zone.")]


def routes(admin: Admin) -> APIRouter:
    """Everything below /runs and /errors."""
    answers = router("runs")
    _lists(answers, admin)
    return answers


def run_of(admin: Admin, run: str) -> Run:
    """A run that the log has, or 404."""
    return found(admin.world.log.run, _RUN, run)


def _lists(answers: APIRouter, admin: Admin) -> None:
    log = admin.world.log
    missing = problems.told(404)

    @answers.get("/runs", dependencies=[only("limit", "after", "mailbox", "errors", "since", "until")])
    def runs(
        limit: Limit = 50,
        after: After = "",
        mailbox: _Mailbox = "",
        errors: _Errors = False,
        since: _Since = None,
        until: _Until = None,
    ) -> shapes.RunPage:
        """Runs that did something or failed, newest first: all, or those of a mailbox, with errors, of a span of
        time."""
        items, following = log.runs(limit, after, mailbox=mailbox, errors=errors, since=since, until=until)
        return shapes.RunPage.model_validate({"items": items, "next": following})

    @answers.get("/runs/{id}", dependencies=[only()], responses=missing)
    def run(id: str) -> shapes.RunLine:
        """One run."""
        return shapes.RunLine.model_validate(run_of(admin, id))

    @answers.get("/runs/{id}/items", dependencies=[only("limit", "after", "errors")], responses=missing)
    def run_items(
        id: str,
        limit: Limit = 50,
        after: After = "",
        errors: _Errors = False,
    ) -> shapes.RunItemPage:
        """What a run did, item by item, or its errors alone."""
        items, following = log.items(run_of(admin, id).id, limit, after, errors)
        return shapes.RunItemPage.model_validate({"items": items, "next": following})
