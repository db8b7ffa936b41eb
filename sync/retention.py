"""What was kept for a time only, and goes."""

from __future__ import annotations

import logging

from sync.work import ENOUGH
from sync.world import World

# Mails removed between two looks at the clock.
SOME = 200

logger = logging.getLogger("accord")


def purge(world: World) -> int:
    """Remove the mails that matched nobody and whose time is over (D13), and old rounds of new addresses.

    Returns how many mails went. What one run does not reach, the next one does.
    """
    started, removed = world.clock(), 0
    world.rounds.forget(started)
    while world.clock() - started < ENOUGH:
        some = world.crm.purge(started, SOME)
        removed += some
        if some < SOME:
            break
    if removed:
        logger.info("purge removed=%d", removed)
    return removed
