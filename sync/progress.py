"""How far a mailbox is, and a hand on its backfill: percent, rate, time left, pause and resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sync.model import PAUSED, MailboxRow
from sync.world import World


def progress(world: World, row: MailboxRow) -> dict[str, Any]:
    """Counts of all streams of a mailbox, and how its backfill goes.

    `percent` goes by time (None where the backfill has no start), `rate` is messages a minute and `left` seconds, both
    since it was last begun or resumed and None where nothing can be told yet.
    """
    old = world.state.cursor(row.id, "mail-backfill")
    cursors = (world.state.cursor(row.id, "mail"), old, world.state.cursor(row.id, "mail-history"))
    parts = [one.get("totals", {}) for one in cursors]
    counts = {name: sum(one.get(name, 0) for one in parts) for name in ("seen", "kept", "bodies", "errors")}
    skipped: Counter[str] = Counter()
    for one in parts:
        skipped.update(one.get("skipped", {}))
    running = row.backfill == "running" and not old.get("done")
    pace = paced(old, world.clock()) if running else {"rate": None, "left": None}
    return {**counts, "skipped": dict(skipped), "backfill": row.backfill, "percent": percent(old), **pace}


def percent(old: Mapping[str, Any]) -> int | None:
    """How much of its time a backfill has gone through, by its cursor. Pure."""
    if old.get("done"):
        return 100
    done = _share(old)
    return None if done is None else int(100 * done)


def paced(old: Mapping[str, Any], now: datetime) -> dict[str, float | None]:
    """Messages a minute and seconds left of a backfill since it was last taken up. Pure."""
    begun = old.get("begun")
    if not begun:
        return {"rate": None, "left": None}
    seconds = (now - datetime.fromisoformat(begun["at"])).total_seconds()
    seen = old.get("totals", {}).get("seen", 0) - begun["seen"]
    share, before = _share(old), begun["share"]
    moved = share - before if share is not None and before is not None else 0.0
    left = seconds / moved * (1 - share) if share is not None and moved > 0 else None
    return {
        "rate": round(seen / seconds * 60, 1) if seconds > 0 else None,
        "left": None if left is None else round(left),
    }


def taken_up(old: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A backfill's cursor as it is begun or resumed: rate and time left count from here. Pure."""
    seen = old.get("totals", {}).get("seen", 0)
    return {**old, "begun": {"at": now.isoformat(), "seen": seen, "share": _share(old)}}


def pause(world: World, row: MailboxRow) -> None:
    """Have a backfill stop after the page under way, and the search for later contacts' mail with it; new mail goes on.
    One that is done stays done."""
    now = world.state.mailbox(row.id) or row
    if now.backfill != "done":
        world.state.note(now, backfill=PAUSED)


def resume(world: World, row: MailboxRow) -> None:
    """Have a paused backfill go on where it stopped, with the next tick."""
    now = world.state.mailbox(row.id) or row
    if now.backfill == PAUSED:
        # Wanted first: whoever dies in between leaves it paused, and is asked again.
        world.state.wants.want(row.id, "mail-backfill")
        world.state.note(now, backfill="running")


def _share(old: Mapping[str, Any]) -> float | None:
    if not old or not old["oldest"]:
        return None
    opened, oldest = datetime.fromisoformat(old["opened"]), datetime.fromisoformat(old["oldest"])
    newest_first = old["order"] == "newest"
    edge = datetime.fromisoformat(old["until" if newest_first else "since"])
    return ((opened - edge) if newest_first else (edge - oldest)) / (opened - oldest)
