"""Logs & Errors: runs, their items, and having them done again (T1 to T6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import Field

from sync import export, retry
from sync.model import Run
from sync.web import admin_run_shapes as shapes
from sync.web import problems
from sync.web.admin import Admin, router, with_body
from sync.web.asked import After, Limit, found, only

# An export ends after so many runs: the answer is held whole, and has to come within 230 seconds.
EXPORTED = 10_000
_PAGE = 1_000
_RUN = re.compile(r"[0-9a-f]{32}")
_CSV = {"text/csv": {"schema": {"type": "string"}}}
_MAILBOX = "^([0-9a-f]{32})?$"
_Mailbox = Annotated[str, Field(pattern=_MAILBOX, description="The id of a mailbox; empty for all.")]
_Errors = Annotated[bool, Field(description="Only what failed.")]
_Since = Annotated[shapes.Moment | None, Field(description="Begun at this moment or later, with its zone.")]
_Until = Annotated[shapes.Moment | None, Field(description="Begun before this moment, with its zone.")]


def routes(admin: Admin) -> APIRouter:
    """Everything below /runs and /errors."""
    answers = router("runs")
    _lists(answers, admin)
    _items(answers, admin)
    _retries(answers, admin)
    return answers


def run_of(admin: Admin, run: str) -> Run:
    """A run that the log has, or 404."""
    return found(admin.world.log.run, _RUN, run)


def _lists(answers: APIRouter, admin: Admin) -> None:
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
        items, following = admin.world.log.runs(limit, after, mailbox=mailbox, errors=errors, since=since, until=until)
        return shapes.RunPage.model_validate({"items": items, "next": following})

    @answers.get(
        "/runs.csv",
        dependencies=[only("mailbox", "errors", "since", "until")],
        response_class=Response,
        responses={200: {"content": _CSV, "description": "A file, UTF-8 with a byte order mark."}},
    )
    def runs_exported(
        mailbox: _Mailbox = "", errors: _Errors = False, since: _Since = None, until: _Until = None
    ) -> Response:
        """The same runs as a file for a spreadsheet, the newest 10,000 at most. Where there are more, the last line
        says so, and before which moment to ask for the rest."""
        found = _exported(admin, mailbox, errors, since, until)
        admin.noted("runs exported", mailbox)
        headers = {"Content-Disposition": 'attachment; filename="runs.csv"'}
        return Response(found.encode(), media_type="text/csv; charset=utf-8", headers=headers)


def _exported(admin: Admin, mailbox: str, errors: bool, since: datetime | None, until: datetime | None) -> str:
    last: Run | None = None
    after, left = "", EXPORTED

    def newest() -> Iterator[Run]:
        nonlocal last, after, left
        while left:
            page, after = admin.world.log.runs(
                min(left, _PAGE), after, mailbox=mailbox, errors=errors, since=since, until=until
            )
            yield from page
            last, left = (page[-1] if page else last), left - len(page)
            if not after:
                return

    text = "".join(export.runs(newest()))
    if after and last is not None:
        # Runs that began at this very moment come once more: better twice than not at all.
        moment = export.cell(last.started + timedelta(seconds=1))
        text += f"There are more: ask again with until={moment}\r\n"
    return text


def _items(answers: APIRouter, admin: Admin) -> None:
    missing = problems.told(404)

    @answers.get("/runs/{id}", dependencies=[only()], responses=missing)
    def run(id: str) -> shapes.RunLine:
        """One run."""
        return shapes.RunLine.model_validate(run_of(admin, id))

    @answers.get("/runs/{id}/items", dependencies=[only("limit", "after", "errors")], responses=missing)
    def run_items(id: str, limit: Limit = 50, after: After = "", errors: _Errors = False) -> shapes.RunItemPage:
        """What a run did, item by item, or its errors alone."""
        items, following = admin.world.log.items(run_of(admin, id).id, limit, after, errors)
        return shapes.RunItemPage.model_validate({"items": items, "next": following})


def _retries(answers: APIRouter, admin: Admin) -> None:
    missing = problems.told(404)

    @answers.post("/runs/{id}/retry", status_code=202, dependencies=[only("after")], responses=missing)
    def run_retried(id: str, after: After = "") -> shapes.RetryShape:
        """Have a run done again: all its errors, and the run itself where it failed as a whole. Twice is once."""
        answer = retry.run(admin.world, run_of(admin, id).id, after)
        admin.noted("errors retried", id, f"{answer.queued} queued")
        return _retried(answer)

    @answers.post("/runs/{id}/items/{number}/retry", status_code=202, dependencies=[only()], responses=missing)
    def item_retried(id: str, number: Annotated[int, Path(ge=0, le=999_999)]) -> shapes.RetryShape:
        """Have one error item done again: what it names is fetched once more, decided by today's rules and stored."""
        if admin.world.log.item(run_of(admin, id).id, number) is None:
            raise HTTPException(404, "The run has no error with this number.")
        answer = retry.item(admin.world, id, number)
        admin.noted("errors retried", id, f"item {number}")
        return _retried(answer)

    @answers.post("/errors/retry", status_code=202, dependencies=[only()], responses=with_body())
    def errors_retried(given: shapes.ErrorsAsked) -> shapes.RetryShape:
        """Have all errors of the last days done again, newest first, slice by slice: ask again with `next` as `after`
        until it is empty."""
        answer = retry.errors(admin.world, given.after, days=timedelta(days=given.days))
        admin.noted("errors retried", "", f"{given.days} days, {answer.queued} queued")
        return _retried(answer)


def _retried(answer: retry.Answer) -> shapes.RetryShape:
    refused = [shapes.RefusalShape.model_validate(one) for one in answer.refused]
    return shapes.RetryShape(queued=answer.queued, refused=refused, next=answer.after)
