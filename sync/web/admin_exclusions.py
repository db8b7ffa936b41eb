"""Lists of addresses that are left out: the firm's, and one for each mailbox (F1, F2, F4)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import Field

from sync.exclusions import check
from sync.lists import FIRM
from sync.web import admin_shapes as shapes
from sync.web import problems
from sync.web.admin import Admin, router, with_body
from sync.web.asked import only

_Mailbox = Annotated[
    str, Field(pattern="^([0-9a-f]{32})?$", description="The id of a mailbox; empty for the list of the whole firm.")
]


def routes(admin: Admin) -> APIRouter:
    """Everything below /exclusions."""
    answers = router("exclusions")

    def scope(mailbox: str) -> str:
        return admin.mailbox(mailbox).id if mailbox else FIRM

    @answers.get("/exclusions", dependencies=[only("mailbox")], responses=problems.told(404))
    def exclusions(mailbox: _Mailbox = "") -> shapes.ExclusionList:
        """One list as it stands, with what was taken back."""
        return shapes.ExclusionList.model_validate({"items": admin.world.exclusions.listed(scope(mailbox))})

    @answers.post("/exclusions", status_code=201, dependencies=[only()], responses=with_body(404))
    def exclusion_added(given: shapes.ExclusionNamed) -> shapes.ExclusionShape:
        """Leave out what fits a pattern, mail of every time; within a minute all workers know. What is captured stays.
        Twice is once."""
        made = admin.world.exclusions.exclude(scope(given.mailbox), given.pattern)
        admin.noted("exclusion added", given.mailbox)
        return shapes.ExclusionShape.model_validate(made)

    @answers.post("/exclusions/take-back", dependencies=[only()], responses=with_body(404, 409))
    def exclusion_taken_back(given: shapes.ExclusionNamed) -> shapes.ExclusionShape:
        """End an exclusion: mail from a minute on comes in again, earlier mail stays out. 404 where there is none that
        counts."""
        where = scope(given.mailbox)
        if not admin.world.exclusions.take_back(where, given.pattern):
            raise HTTPException(404, "There is no such exclusion that counts.")
        admin.noted("exclusion taken back", given.mailbox)
        ended = next(one for one in admin.world.exclusions.listed(where) if check(one.pattern) == check(given.pattern))
        return shapes.ExclusionShape.model_validate(ended)

    return answers
