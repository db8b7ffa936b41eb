"""Mail into the CRM: append-only, no merge. Two jobs, each under a lease of its own.

live      follows the delta of each folder, from the moment of the start on.
backfill  lists what is older, one page a job, newest first by default.

The order of effects, in both:

 1. The lease is taken before anything is read; a job that finds it taken says so and ends.
 2. Light fields first. Rules decide who is concerned; only of what is kept is the body read (`page`).
 3. The CRM stores a page: records, relations, feed, timeline. Storing the same again changes nothing.
 4. The run is logged, items first.
 5. The cursor is saved last, with the lease, in one group. Whoever dies before that is repeated, not missed.
 6. Queue messages go after the cursor. If they get lost, `fanout` finds what is wanted and not served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync import dispatch
from sync.errors import AccordError, CursorGone, Gone, Unavailable
from sync.model import Folder, Job, MailboxRow, MailPage, RunItem
from sync.page import capture
from sync.state import Place
from sync.work import Work
from sync.world import World

# Exchange's clock and ours may differ: the deltas open a little before the start, and the backfill ends there.
SKEW = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def live(world: World, job: Job, row: MailboxRow) -> None:
    """Bring the CRM up to date with what came since the last time; the first time opens every folder."""
    want = world.state.wanted(row.id, "mail")
    opened = world.state.open(row.id, "mail")
    if opened is None:
        world.state.want(row.id, "mail")
        return
    with Work(world, row, job, opened) as work:
        cursor = dict(opened.cursor) or _meet(work)
        first = not cursor["started"]
        places = {place.folder: place for place in opened.places}
        done = _walk_tree(work, cursor, places) and _rounds(work, cursor, places)
        cursor["totals"] = work.tally.added_to(cursor.get("totals", {}))
        cursor["started"] = done or not first
        if first and done:
            # Wanted before the cursor says that the start is over: whoever dies in between has not forgotten it.
            world.state.want(row.id, "mail-backfill")
        if done and want.open:
            world.state.served(row.id, "mail", want.count)
        world.state.note(work.row, status="connected", sentence="")
        work.finish(cursor)
    if not done or world.state.wanted(row.id, "mail").count > want.count:
        dispatch.put(world, "mail", replace(job, reason="continued"))
    if first and done:
        dispatch.put(world, "mail-backfill", replace(job, reason="started"))


def backfill(world: World, job: Job, row: MailboxRow) -> None:
    """One page of old mail; the next page is a job of its own, so that mailboxes take turns."""
    want = world.state.wanted(row.id, "mail-backfill")
    start, places = world.state.look(row.id, "mail")
    # Before all folders are known, what lies in those left out could not be told from the rest.
    opened = world.state.open(row.id, "mail-backfill") if start.get("started") else None
    if opened is None:
        return
    with Work(world, row, job, opened) as work:
        cursor = dict(opened.cursor)
        if not cursor:
            cursor = _first_slice(world, start)
            work.save(cursor)
        if not cursor["done"]:
            skipped = {place.folder for place in places if place.skipped}
            cursor = _slice(work, cursor, skipped.union(start["skipped"]))
        if cursor["done"]:
            # One delta round after the backfill: wanted before the cursor says that the backfill is over.
            world.state.want(row.id, "mail")
            world.state.note(row, backfill="done")
        work.finish(cursor)
    if cursor["done"]:
        # Served at last: whoever dies before this is found by what is still wanted, and only does the end again.
        world.state.served(row.id, "mail-backfill", want.count)
        dispatch.put(world, "mail", replace(job, reason="backfilled"))
    else:
        dispatch.put(world, "mail-backfill", replace(job, reason="continued"))


def progress(world: World, row: MailboxRow) -> dict[str, Any]:
    """Counts of both streams, and percent of the backfill by time (None where it has no start)."""
    old = world.state.cursor(row.id, "mail-backfill")
    halves = [world.state.cursor(row.id, "mail").get("totals", {}), old.get("totals", {})]
    counts = {name: sum(half.get(name, 0) for half in halves) for name in ("seen", "kept", "bodies", "errors")}
    skipped: Counter[str] = Counter()
    for half in halves:
        skipped.update(half.get("skipped", {}))
    return {**counts, "skipped": dict(skipped), "percent": _percent(old)}


# -- live


def _meet(work: Work) -> dict[str, Any]:
    """The first meeting with a mailbox: the moment from which deltas count."""
    cursor = {"opened": work.world.clock().isoformat(), "started": False, "tree": "", **_look(work)}
    work.know(status="connected")
    work.save(cursor)
    return cursor


def _look(work: Work) -> dict[str, Any]:
    """Whose the mailbox is, by all its addresses, and which folders are left out. Both change, seldom: once a day."""
    user, own = work.box.identity()
    work.know(user=user, own=own)
    skipped = work.box.well_known(work.world.policy().mail.skipped_folders)
    return {"skipped": sorted(skipped.values()), "looked": work.world.clock().isoformat()}


def _walk_tree(work: Work, cursor: dict[str, Any], places: dict[str, Place]) -> bool:
    """Folder changes: new folders are opened, gone ones dropped. False when time ran out; what is open stays open."""
    if work.world.clock() - datetime.fromisoformat(cursor["looked"]) > DAY:
        cursor |= _look(work)
    try:
        tree = work.box.folders(cursor["tree"])
    except CursorGone:
        tree = work.box.folders()
    present = {folder.id for folder in tree.folders}
    # A folder that one round reports as gone and as there is there: it was restored.
    dropped = [folder for folder in tree.removed if folder in places and folder not in present]
    for folder in dropped:
        del places[folder]
    changed: dict[str, Place] = {}
    reached = tree.cursor
    for place in placed(tree.folders, places, cursor["skipped"]):
        if work.late():
            work.save(places=list(changed.values()))
            return False
        if not place.skipped and not place.link:
            try:
                place = _open_folder(work, cursor, place)
            except Gone as gone:
                # Removed since it was listed, or not to be had for a moment: the next walk lists all and sees.
                reached = ""
                _lost_folder(work, place, gone, listed=not cursor["tree"])
                continue
        places[place.folder] = changed[place.folder] = place
        if len(changed) == 20:
            work.save(places=list(changed.values()))
            changed.clear()
    if changed or dropped or reached != cursor["tree"]:
        cursor["tree"] = reached
        work.save(cursor, list(changed.values()), dropped)
    return True


def placed(folders: Sequence[Folder], places: Mapping[str, Place], skipped: Sequence[str]) -> list[Place]:
    """The places that folder changes touch: new, moved, or left out from now on because a parent is. Pure."""
    parents = {place.folder: place.parent for place in places.values()} | {one.id: one.parent for one in folders}

    def left_out(folder: str) -> bool:
        seen = set()
        while folder in parents and folder not in seen:
            if folder in skipped:
                return True
            seen.add(folder)
            folder = parents[folder]
        return folder in skipped

    found = []
    for folder, parent in parents.items():
        before = places.get(folder)
        out = left_out(folder)
        if before is None or before.parent != parent or before.skipped != out:
            link = before.link if before and not out else ""
            found.append(Place(folder, parent, out, link))
    return found


def _rounds(work: Work, cursor: dict[str, Any], places: Mapping[str, Place]) -> bool:
    """One delta round of every folder; False when time ran out, then `at` is the folder to go on with."""
    at = cursor.pop("at", "")
    for place in sorted(places.values(), key=lambda place: place.folder):
        # A folder opened in this very run has just shown all there is.
        if place.folder < at or place.skipped or (place.folder in work.opened and not place.next):
            continue
        try:
            done = _round(work, cursor, place)
        except Gone:
            # Thrown away, or not to be had for a moment: the next walk lists all folders and sees.
            work.save(dropped=[place.folder])
            cursor["tree"] = ""
            continue
        except CursorGone as lost:
            # Lost as soon as it was opened: an error row, and the other folders have their turn. It is tried next time.
            _lost_folder(work, place, lost)
            continue
        if not done:
            cursor["at"] = place.folder
            return False
    return True


def _lost_folder(work: Work, place: Place, lost: AccordError, listed: bool = True) -> None:
    """An error row for a folder that cannot be had, unless it may be gone in truth: no full list has it yet."""
    if listed:
        work.tally.items.append(RunItem(f"folder {work.mark(place.folder)}", "error", lost.sentence))


def _round(work: Work, cursor: Mapping[str, Any], place: Place) -> bool:
    seen: set[str] = set()
    while True:
        if work.late():
            return False
        try:
            page = work.box.follow(place.next or place.link)
        except CursorGone:
            if place.folder in work.opened:
                raise
            place = _open_folder(work, cursor, place)
            work.save(places=[place])
        else:
            reached = _reached(work, place, page)
            if reached.next in seen:
                raise CursorGone("The pages of a folder's changes lead back to themselves.")
            # An empty answer needs no write: the old link stays good.
            if page.items or page.removed or page.broken or reached.next or place.next:
                work.save(places=[reached])
            place = reached
        if not place.next:
            return True
        seen.add(place.next)


def _open_folder(work: Work, cursor: Mapping[str, Any], place: Place) -> Place:
    since = datetime.fromisoformat(cursor["opened"]) - SKEW
    work.opened.add(place.folder)
    return _reached(work, place, work.box.open_folder(place.folder, since))


def _reached(work: Work, place: Place, page: MailPage) -> Place:
    """Where a folder stands after a page was captured: the old link stays until its round is complete."""
    capture(work, page, known=True)
    if page.delta:
        return replace(place, link=page.delta, next="")
    return replace(place, next=page.next or "")


# -- backfill


def _first_slice(world: World, start: Mapping[str, Any]) -> dict[str, Any]:
    opened = datetime.fromisoformat(start["opened"])
    oldest = world.policy().mail.backfill_start(opened)
    return {
        "order": world.policy().mail.backfill_order,
        "opened": opened.isoformat(),
        "oldest": oldest.isoformat() if oldest else None,
        "since": oldest.isoformat() if oldest else None,
        "until": (opened - SKEW).isoformat(),
        "edge": [],
        "done": False,
    }


def _slice(work: Work, cursor: dict[str, Any], skipped: set[str]) -> dict[str, Any]:
    """Capture one page and move the edge to the last time received, with the ids seen at that very second.

    A stored nextLink would lose mail as soon as somebody deletes: it counts by place ($skip). Graph shows whole seconds
    and compares fractions, so the edge is asked for with the second behind it.
    """
    newest_first = cursor["order"] == "newest"
    since, until = (datetime.fromisoformat(cursor[name]) if cursor[name] else None for name in ("since", "until"))
    assert until is not None  # noqa: S101 - only the beginning may be open
    page = work.box.older(since, until + SECOND, newest_first)
    while page.next and not _beyond(page, until if newest_first else since, newest_first):
        # A whole page of one second, or an empty one: only within one job is a nextLink safe to follow.
        capture(work, _unseen(work, page, cursor), skipped)
        if work.late():
            raise Unavailable("More mail of one second than one job can read.", 60)
        page = work.box.follow(page.next)
    capture(work, _unseen(work, page, cursor), skipped)
    moved = dict(cursor, totals=work.tally.added_to(cursor.get("totals", {})), done=page.next is None)
    if page.next:
        received = [one.received for one in page.items if one.received]
        edge = min(received) if newest_first else max(received)
        moved["until" if newest_first else "since"] = edge.isoformat()
        moved["edge"] = [work.mark(one.id) for one in page.items if one.received in (edge, edge + SECOND)]
    return moved


def _beyond(page: MailPage, edge: datetime | None, newest_first: bool) -> bool:
    """Whether a page holds mail behind the second at which the last one ended."""
    received = [one.received for one in page.items if one.received]
    if edge is None or not received:
        return bool(received)
    return min(received) < edge.replace(microsecond=0) if newest_first else max(received) > edge


def _unseen(work: Work, page: MailPage, cursor: Mapping[str, Any]) -> MailPage:
    seen = set(cursor["edge"])
    if not seen:
        return page
    return replace(page, items=tuple(one for one in page.items if work.mark(one.id) not in seen))


def _percent(old: Mapping[str, Any]) -> int | None:
    if old.get("done"):
        return 100
    if not old or not old["oldest"]:
        return None
    opened, oldest = datetime.fromisoformat(old["opened"]), datetime.fromisoformat(old["oldest"])
    newest_first = old["order"] == "newest"
    edge = datetime.fromisoformat(old["until" if newest_first else "since"])
    return int(100 * ((opened - edge) if newest_first else (edge - oldest)) / (opened - oldest))
