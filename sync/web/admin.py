"""What the routes of the admin work with, and what all of them have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from sync.audit import Action
from sync.health import Checks
from sync.model import MailboxRow
from sync.policies import Policies
from sync.web import problems
from sync.web.asked import GuardedRoute, found
from sync.world import World

# Who did something, as the audit says it: whoever has the key has no other name.
BY = "api key"
_MAILBOX = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Admin:
    """The world of the jobs; the connection whose mailboxes are taken into scope; the policy; and what tells how all
    stands."""

    world: World
    connection: str
    policies: Policies
    checks: Checks

    def mailbox(self, mailbox: str) -> MailboxRow:
        """A mailbox in scope, or 404."""
        return found(self.world.state.mailbox, _MAILBOX, mailbox)

    def noted(self, action: Action, subject: str = "", note: str = "") -> None:
        """Have the audit know what was done just now."""
        self.world.audit.note(BY, action, subject, note)


def router(tag: str) -> APIRouter:
    """Routes below /api/admin."""
    return APIRouter(prefix="/api/admin", tags=[tag], route_class=GuardedRoute, responses=problems.told(401, 422, 503))


def with_body(*others: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route that takes a body: what is no JSON at all, too much of it, and these."""
    return problems.told(400, 413, *others)
