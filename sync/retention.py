"""What was kept for a time only, and goes."""

from __future__ import annotations

import logging

from sync.work import ENOUGH
from sync.world import World

# Mails of one run: what it does not reach in its time, the next one does.
MOST = 1_000_000

logger = logging.getLogger("accord")


def purge(world: World) -> int:
    """Remove the mails that matched nobody and whose time is over (D13), old rounds of new addresses and old entries of
    the audit.

    Returns how many mails went. What one run does not reach, the next one does.
    """
    started = world.clock()
    world.rounds.forget(started)
    world.audit.forget(started)
    removed = world.crm.purge(started, MOST, lambda: world.clock() - started < ENOUGH)
    if removed:
        logger.info("purge removed=%d", removed)
    return removed
