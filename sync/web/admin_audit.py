"""Who did what, as the audit has it (S31)."""

from __future__ import annotations

from fastapi import APIRouter

from sync.web import admin_policy_shapes as shapes
from sync.web.admin import Admin, router
from sync.web.asked import After, Limit, only


def routes(admin: Admin) -> APIRouter:
    """GET /audit."""
    answers = router("audit")

    @answers.get("/audit", dependencies=[only("limit", "after")])
    def audit(limit: Limit = 50, after: After = "") -> shapes.EntryPage:
        """What was done by way of this API, newest first."""
        items, following = admin.world.audit.entries(limit, after)
        return shapes.EntryPage.model_validate({"items": items, "next": following})

    return answers
