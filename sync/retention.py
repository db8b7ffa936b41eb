"""What was kept for a time only, and goes."""

from __future__ import annotations

import logging
from datetime import timedelta

from sync.work import ENOUGH
from sync.world import World

# Mails of one run: what it does not reach in its time, the next one does.
MOST = 1_000_000

# How long a run may remove runs, and so many at a time.
ENOUGH_RUNS = timedelta(minutes=3)
RUNS = 100

logger = logging.getLogger("accord")


def purge(world: World) -> int:
    """Remove the mails that matched nobody and whose time is over (D13), old rounds of new addresses, old entries of
    the audit, and old runs.

    Returns how many mails went. What one run does not reach, the next one does.
    """
    world.rounds.forget(world.clock())
    world.audit.forget(world.clock())
    _purge_runs(world)
    started = world.clock()
    removed = world.crm.purge(started, MOST, lambda: world.clock() - started < ENOUGH)
    if removed:
        logger.info("purge removed=%d", removed)
    return removed


def _purge_runs(world: World) -> None:
    """Remove the runs that are older than the policy keeps them, and what was to be done again of them."""
    started = world.clock()
    before = started - timedelta(days=world.policy().log.runs_days)
    removed = 0
    while world.clock() - started < ENOUGH_RUNS:
        gone = world.log.forget(before, RUNS)
        removed += gone
        if gone < RUNS:
            break
    world.log.retries.forget(before)
    if removed:
        logger.info("purge runs=%d", removed)
