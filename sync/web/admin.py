"""What the routes of the admin work with, and what all of them have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import APIRouter

from sync.health import Checks
from sync.model import MailboxRow
from sync.web import problems
from sync.web.asked import GuardedRoute, found
from sync.world import World

_MAILBOX = re.compile(r"[0-9a-f]{32}")
BODY = problems.told(400, 413)  # of routes that take one: no JSON at all, and too much of it


@dataclass(frozen=True, slots=True)
class Admin:
    """The world of the jobs; the connection whose mailboxes are taken into scope; and what tells how all stands."""

    world: World
    connection: str
    checks: Checks

    def mailbox(self, mailbox: str) -> MailboxRow:
        """A mailbox in scope, or 404."""
        return found(self.world.state.mailbox, _MAILBOX, mailbox)


def router(tag: str) -> APIRouter:
    """Routes below /api/admin."""
    return APIRouter(prefix="/api/admin", tags=[tag], route_class=GuardedRoute, responses=problems.told(401, 422, 503))
