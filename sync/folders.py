"""The folders of a mailbox and the delta of each: which count, where each stands, one round of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync.errors import AccordError, CursorGone, Gone
from sync.model import Folder, FolderRound, MailPage
from sync.page import capture
from sync.state import Place
from sync.work import Work

# Exchange's clock and ours may differ: the deltas open a little before the start, and the backfill ends there.
SKEW = timedelta(minutes=5)
DAY = timedelta(days=1)
ALWAYS = ("drafts", "outbox", "junkemail", "deleteditems")


def look(work: Work) -> dict[str, Any]:
    """Whose the mailbox is, by all its addresses, and which folders are left out. Both change, seldom: once a day."""
    user, own = work.box.identity()
    work.know(user=user, own=own)
    if work.row.owner:
        # His aliases are his in every mailbox: mail between them and colleagues is no client's (E1).
        work.world.crm.add_addresses(work.row.owner, own)
    names = work.world.policy().mail.skipped_folders
    skipped = dict(work.box.well_known(names))
    # Every mailbox has these: what says otherwise may have been refused for a moment only.
    if missing := [name for name in ALWAYS if name in names and name not in skipped]:
        skipped |= work.box.well_known(missing)
    return {"skipped": sorted(skipped.values()), "looked": work.world.clock().isoformat()}


def walk(work: Work, cursor: dict[str, Any], places: dict[str, Place]) -> bool:
    """Folder changes: new folders are opened, gone ones dropped. False when time ran out; what is open stays open."""
    if work.world.clock() - datetime.fromisoformat(cursor["looked"]) > DAY:
        cursor |= look(work)
    tree, dropped = _tree(work, cursor, places)
    changed: dict[str, Place] = {}
    reached = tree.cursor
    for place in placed(tree.folders, places, cursor["skipped"]):
        if work.late():
            work.save(places=list(changed.values()))
            return False
        if not place.skipped and not place.link:
            before = places.get(place.folder)
            try:
                place = _open(work, cursor, place)
            except Gone as gone:
                # Removed since it was listed, or not to be had for a moment: the next walk lists all and sees.
                reached = ""
                _lost(work, place, gone, listed=not cursor["tree"])
                continue
            # It counts again: what lay in it all the while is old mail that no delta shows.
            cursor["relist"] = cursor.get("relist", 0) + int(before is not None and before.skipped)
        places[place.folder] = changed[place.folder] = place
        if len(changed) == 20:
            work.save(cursor, list(changed.values()))
            changed.clear()
    if changed or dropped or reached != cursor["tree"]:
        cursor["tree"] = reached
        work.save(cursor, list(changed.values()), dropped)
    return True


def _tree(work: Work, cursor: Mapping[str, Any], places: dict[str, Place]) -> tuple[FolderRound, list[str]]:
    """What changed in the tree, and the folders that are gone, which have no place any more."""
    try:
        tree = work.box.folders(cursor["tree"])
    except CursorGone:
        tree = work.box.folders()
    present = {folder.id for folder in tree.folders}
    # A folder that one round reports as gone and as there is there: it was restored.
    dropped = [folder for folder in tree.removed if folder in places and folder not in present]
    for folder in dropped:
        del places[folder]
    return tree, dropped


def placed(folders: Sequence[Folder], places: Mapping[str, Place], skipped: Collection[str]) -> list[Place]:
    """The places that folder changes touch: new, moved, or left out from now on because a parent is. Pure.

    A folder that Outlook does not show holds nothing that somebody wrote: it is left out, should Graph tell of it.
    """
    parents = {place.folder: place.parent for place in places.values()} | {one.id: one.parent for one in folders}
    hidden = {place.folder: place.hidden for place in places.values()} | {one.id: one.hidden for one in folders}

    def left_out(folder: str) -> bool:
        seen = set()
        while folder in parents and folder not in seen:
            if folder in skipped or hidden[folder]:
                return True
            seen.add(folder)
            folder = parents[folder]
        return folder in skipped

    found = []
    for folder, parent in parents.items():
        before, out = places.get(folder), left_out(folder)
        if before is None or (before.parent, before.hidden, before.skipped) != (parent, hidden[folder], out):
            link = before.link if before and not out else ""
            found.append(Place(folder, parent, out, link, hidden=hidden[folder]))
    return found


def rounds(work: Work, cursor: dict[str, Any], places: Mapping[str, Place]) -> bool:
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
            cursor["tree"] = ""
            work.save(cursor, dropped=[place.folder])
            continue
        except CursorGone as lost:
            # Lost as soon as it was opened: an error row, and the other folders have their turn. It is tried next time.
            _lost(work, place, lost)
            cursor["tree"] = ""
            continue
        if not done:
            cursor["at"] = place.folder
            return False
    return True


def _lost(work: Work, place: Place, lost: AccordError, listed: bool = True) -> None:
    """An error row for a folder that cannot be had, unless it may be gone in truth: no full list has it yet."""
    if listed:
        work.tally.fail(f"folder {work.mark(place.folder)}", lost.sentence)


def _round(work: Work, cursor: Mapping[str, Any], place: Place) -> bool:
    seen: set[str] = set()
    with ExitStack() as counting:
        while True:
            if work.late():
                return False
            try:
                page = work.box.follow(place.next or place.link)
            except CursorGone:
                if place.folder in work.opened:
                    raise
                if place.link:
                    # A whole round has shown this folder before: what it lists again is no news (I5).
                    counting.enter_context(work.tally.only_news())
                place = _open(work, cursor, place)
                work.save(places=[place])
            else:
                reached = _reached(work, cursor, place, page)
                if reached.next in seen:
                    raise CursorGone("The pages of a folder's changes lead back to themselves.")
                # An empty answer needs no write: the old link stays good.
                if page.items or page.removed or page.broken or reached.next or place.next:
                    work.save(places=[reached])
                place = reached
            if not place.next:
                return True
            seen.add(place.next)


def _open(work: Work, cursor: Mapping[str, Any], place: Place) -> Place:
    since = datetime.fromisoformat(cursor["opened"]) - SKEW
    work.opened.add(place.folder)
    return _reached(work, cursor, place, work.box.open_folder(place.folder, since))


def _reached(work: Work, cursor: Mapping[str, Any], place: Place, page: MailPage) -> Place:
    """Where a folder stands after a page was captured: the old link stays until its round is complete."""
    # What a filter left out at first may be told of later.
    oldest = work.world.policy().mail.backfill_start(datetime.fromisoformat(cursor["opened"]))
    capture(work, page, known=True, oldest=oldest)
    if page.delta:
        return replace(place, link=page.delta, next="")
    return replace(place, next=page.next or "")
