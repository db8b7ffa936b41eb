"""Mail into the CRM: append-only, no merge. Jobs under a lease each, one for each stream of a mailbox.

live      follows the delta of each folder, from the moment of the start on; once a day it also lists what changed.
backfill  lists what is older, one page a job, newest first by default.
history   looks for the mail of contacts that came later (`history`).

The order of effects, in all:

 1. The lease is taken before anything is read; a job that finds it taken says so and ends.
 2. Light fields first. Rules decide who is concerned; only of what is kept is the body read (`page`).
 3. The CRM stores a page: records, relations, feed, timeline. Storing the same again changes nothing.
 4. The run is logged, items first.
 5. The cursor is saved last, with the lease, in one group. Whoever dies before that is repeated, not missed.
 6. Queue messages go after the cursor. If they get lost, `fanout` finds what is wanted and not served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync import dispatch, folders, listing
from sync.idle import NEWS, newest
from sync.model import PAUSED, Job, MailboxRow, Stream, Want
from sync.progress import taken_up
from sync.state import Opened, Place
from sync.work import Work
from sync.world import World

DAY = timedelta(days=1)


def live(world: World, job: Job, row: MailboxRow) -> bool:
    """Bring the CRM up to date with what came since the last time; the first time opens every folder."""
    want, begun = world.state.wants.wanted(row.id, "mail"), world.clock()
    opened = world.state.open(row.id, "mail")
    if opened is None:
        world.state.wants.want(row.id, "mail")
        return False
    with Work(world, row, job, opened) as work:
        cursor = dict(opened.cursor) or _meet(work)
        # What a round saw that began in another job is not all that changed since this one began.
        first, whole = not cursor["started"], "at" not in cursor
        places = {place.folder: place for place in opened.places}
        done = folders.walk(work, cursor, places) and folders.rounds(work, cursor, places)
        done = done and (first or _daily(work, cursor, places))
        cursor["totals"] = work.tally.added_to(cursor.get("totals", {}))
        cursor["started"] = done or not first
        # Wanted before the cursor says that there is nothing to want: whoever dies in between has not forgotten it.
        if first and done:
            world.state.wants.want(row.id, "mail-backfill")
        if done and want.open:
            world.state.wants.served(row.id, "mail", want.count)
        known = work.row.newest
        if done and whole:
            # A tree to be listed again: a folder was not to be had, and nobody knows what changed in it.
            known = cursor["tree"] and newest(known, work.tally.modified, begun, job.reason == NEWS)
        world.state.note(work.row, met=True, trouble=None, newest=known)
        work.finish(cursor)
    if cursor.get("relist", 0) > relisted(world, row.id):
        # After the cursor says so, and again with every round until it is done: nobody serves it before it can be seen.
        world.state.wants.want(row.id, "mail-history")
    if not done or world.state.wants.wanted(row.id, "mail").count > want.count:
        dispatch.put(world, "mail", replace(job, reason="continued"))
    if first and done:
        dispatch.put(world, "mail-backfill", replace(job, reason="started"))
    return True


def backfill(world: World, job: Job, row: MailboxRow) -> bool:
    """One page of old mail; the next page is a job of its own, so that mailboxes take turns."""
    begun = behind(world, row, "mail-backfill")
    if begun is None:
        return False
    want, start, places, opened = begun
    with Work(world, row, job, opened) as work:
        cursor = dict(opened.cursor)
        if not cursor:
            cursor = _beginning(world, start)
            work.save(cursor)
        elif job.reason == "wanted" and not cursor["done"]:
            cursor = taken_up(cursor, world.clock())
        if not cursor["done"]:
            cursor = listing.one_page(work, cursor, left_out(start, places))
            cursor["totals"] = work.tally.added_to(cursor.get("totals", {}))
        if cursor["done"]:
            # One delta round after the backfill: wanted before the cursor says that the backfill is over.
            world.state.wants.want(row.id, "mail")
            world.state.note(row, backfill="done")
        work.finish(cursor)
    if cursor["done"]:
        # Served at last: whoever dies before this is found by what is still wanted, and only does the end again.
        world.state.wants.served(row.id, "mail-backfill", want.count)
        dispatch.put(world, "mail", replace(job, reason="backfilled"))
    else:
        dispatch.put(world, "mail-backfill", replace(job, reason="continued"))
    return True


def behind(
    world: World, row: MailboxRow, stream: Stream
) -> tuple[Want, Mapping[str, Any], tuple[Place, ...], Opened] | None:
    """What a stream behind the live one begins with: what is wanted of it, the live one's cursor and places, its lease.

    None while it is paused, before the live one has started, and while somebody else works it. What is wanted is read
    first: whatever was wanted by then is seen by what is read after it.
    """
    if row.backfill == PAUSED:
        return None
    want = world.state.wants.wanted(row.id, stream)
    start, places = world.state.look(row.id, "mail")
    # Before all folders are known, what lies in those left out could not be told from the rest.
    opened = world.state.open(row.id, stream) if start.get("started") else None
    return None if opened is None else (want, start, places, opened)


def left_out(start: Mapping[str, Any], places: tuple[Place, ...]) -> set[str]:
    """The folders whose mail does not count, by what the live stream remembers."""
    return {place.folder for place in places if place.skipped}.union(start["skipped"])


def relisted(world: World, mailbox: str) -> int:
    """Up to which count a mailbox was listed again because a folder came back."""
    return int(world.state.cursor(mailbox, "mail-history").get("relisted", 0))


def _meet(work: Work) -> dict[str, Any]:
    """The first meeting with a mailbox: the moment from which deltas count."""
    cursor = {"opened": work.world.clock().isoformat(), "started": False, "tree": "", **folders.look(work)}
    work.know(met=True)
    work.save(cursor)
    return cursor


def _daily(work: Work, cursor: dict[str, Any], places: Mapping[str, Place]) -> bool:
    """Once a day, list what changed since the day before the last time: deltas lose mail that was moved out and back
    between two rounds, and say nothing of old mail that comes in now. False when time ran out.

    Known issue of 2026: https://learn.microsoft.com/graph/known-issues (messages delta with immutable ids).
    """
    now = work.world.clock()
    passed = datetime.fromisoformat(cursor.get("passed") or cursor["opened"])
    place = cursor.get("pass")
    if place is None:
        if now - passed < DAY:
            return True
        place = listing.begin("changed", passed - DAY, now)
    opened = datetime.fromisoformat(cursor["opened"])
    oldest = work.world.policy().mail.backfill_start(opened)
    with work.tally.only_news():
        while not place["done"]:
            if work.late():
                cursor["pass"] = place
                return False
            skipped = left_out(cursor, tuple(places.values()))
            place = listing.one_page(work, place, skipped, known=True, oldest=oldest)
            if not place["done"]:
                work.save({**cursor, "pass": place})
    cursor.pop("pass", None)
    cursor["passed"] = place["until"]
    return True


def _beginning(world: World, start: Mapping[str, Any]) -> dict[str, Any]:
    """The cursor of a backfill before its first page."""
    opened, policy = datetime.fromisoformat(start["opened"]), world.policy().mail
    oldest = policy.backfill_start(opened)
    place = listing.begin(policy.backfill_order, oldest, opened - folders.SKEW)
    bounds = {"opened": opened.isoformat(), "oldest": oldest.isoformat() if oldest else None}
    return taken_up({**place, **bounds}, world.clock())
