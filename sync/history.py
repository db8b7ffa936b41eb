"""Later contacts get their history: mail that was nobody's when it was seen, found once somebody becomes a contact.

gather    reads in the CRM's feed which addresses are new, and waits ten minutes for more: an import is one round, and
          the search index of Microsoft knows by then what came just before.
tell      has the mailboxes want a round that stands, some with each tick.
history   a mailbox's job: searches for up to five addresses by participant; more are answered by one listing of light
          fields. Decides like every other stream, so exclusions count, and those taken back still count for the mail
          from before (F4).

Error items that somebody asked for again are worked under the same lease (`mend`), before anything else.

A round exists before any mailbox is told, and a mailbox remembers the last one it has served: whoever dies in between
is told again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync import dispatch, folders, listing, mend
from sync.capture import behind, left_out
from sync.errors import CursorGone, Unavailable
from sync.model import Job, MailboxRow
from sync.page import capture
from sync.rounds import KEPT, Round
from sync.state import Place
from sync.work import Work
from sync.world import World

GATHERED = timedelta(minutes=10)
# After this every worker knows whose a new address is: nobody goes by an older answer of the CRM.
HEARD = timedelta(minutes=6)
SEARCHED = 5
# Graph's search answers no more than this many messages; beyond it nobody knows what is missing.
MOST_FOUND = 1_000
# Changes of the CRM read at a time, and mailboxes told by one tick.
READ = 20_000
PAGE = 1_000
TOLD = 500
TOLD_ALL = "all"


# -- gathering


def gather(world: World) -> None:
    """Read which addresses are new, and make a round of them when they have waited long enough.

    Two ticks at once are harmless, here and in `tell`: what one of them saved first counts.
    """
    before, version = world.rounds.gathered()
    if not before:
        # Who is a contact already is found by each mailbox's backfill: none has begun before the first tick.
        world.rounds.save({"cursor": world.crm.newest(), "rounds": 0, "told": TOLD_ALL}, version)
        return
    known = dict(before)
    _read_feed(world, known)
    closed = _closed(world, known)
    if known != before:
        world.rounds.save(known, version, closed)


def tell(world: World) -> None:
    """Have the mailboxes want the newest round; whoever dies in between tells it again."""
    known, version = world.rounds.gathered()
    if not known or known["told"] == TOLD_ALL:
        return
    left = sorted(row.id for row in world.state.mailboxes() if row.id > known["told"])
    for mailbox in left[:TOLD]:
        world.state.wants.want(mailbox, "mail-history")
    told = left[TOLD - 1] if len(left) > TOLD else TOLD_ALL
    world.rounds.save({**known, "told": told}, version)


def _read_feed(world: World, known: dict[str, Any]) -> None:
    for _ in range(READ // PAGE):
        addresses, changes, known["cursor"] = world.crm.arrivals(known["cursor"], PAGE)
        if addresses:
            now = world.clock().isoformat()
            known.setdefault("since", now)
            known["last"] = now
            waiting = {**known.get("waiting", {}), **dict.fromkeys(addresses, now)}
            # Too many to be searched for are not remembered one by one.
            known["many"] = known.get("many", False) or len(waiting) > SEARCHED
            known["waiting"] = {} if known["many"] else waiting
        if changes < PAGE:
            return


def _closed(world: World, known: dict[str, Any]) -> Round | None:
    """The round of what has waited long enough, taken out of what waits; what came a moment ago waits for the next one,
    since workers know whose an address is by what they remember."""
    now = world.clock()
    if "since" not in known or now - datetime.fromisoformat(known["since"]) < GATHERED or known["told"] != TOLD_ALL:
        return None
    young = (now - HEARD).isoformat()
    left = {address: at for address, at in known["waiting"].items() if at > young}
    old = tuple(address for address in known["waiting"] if address not in left)
    if not (old or known["many"]):
        return None
    rest: dict[str, Any] = {}
    if known["many"] and known["last"] > young:
        rest = {"since": known["last"], "last": known["last"], "many": True, "waiting": {}}
    elif left:
        rest = {"since": min(left.values()), "last": known["last"], "many": False, "waiting": left}
    for name in ("since", "last", "many", "waiting"):
        del known[name]
    known |= {**rest, "rounds": known["rounds"] + 1, "told": ""}
    return Round(known["rounds"], now, old)


# -- one mailbox


def history(world: World, job: Job, row: MailboxRow) -> bool:
    """Some error items that are to be done again, or one page of what a search or a listing finds; the next is a job of
    its own."""
    begun = behind(world, row, "mail-history")
    if begun is None:
        return False
    want, start, places, opened = begun
    with Work(world, row, job, opened) as work:
        cursor = {"served": 0, "relisted": 0, "task": None, **opened.cursor}
        asked = world.log.retries.waiting(row.id, mend.SLICE)
        if asked:
            # Somebody waits for these: they come first, and what else there is with the next job.
            work.save(cursor)
            mend.mend(work, asked, _left_out(work, start, places), _oldest(work, start))
        elif cursor["task"] is None:
            cursor |= _task(world, start, cursor)
        if cursor["task"] is not None and not asked:
            # Saved first: what breaks off remembers its task, and how often which message was refused.
            work.save(cursor)
            with work.tally.only_news():
                cursor["task"] = _step(work, cursor["task"], start, _left_out(work, start, places))
            cursor["totals"] = work.tally.added_to(cursor.get("totals", {}))
            if cursor["task"] is None:
                # Rounds that came meanwhile: what is wanted by now is served when there is none.
                cursor |= _task(world, start, cursor)
        done = cursor["task"] is None and not asked
        work.finish(cursor)
    if done:
        world.state.wants.served(row.id, "mail-history", want.count)
    if not done or world.state.wants.wanted(row.id, "mail-history").count > want.count:
        dispatch.put(world, "mail-history", replace(job, reason="continued"))
    return True


def _left_out(work: Work, start: Mapping[str, Any], places: Sequence[Place]) -> set[str]:
    """The folders whose mail does not count as they are now: those of an idle mailbox were read hours ago."""
    known = {place.folder: place for place in places}
    try:
        tree = work.box.folders(start["tree"])
    except CursorGone:
        tree = work.box.folders()
    known |= {place.folder: place for place in folders.placed(tree.folders, known, start["skipped"])}
    return left_out(start, tuple(known.values()))


def _task(world: World, start: Mapping[str, Any], cursor: Mapping[str, Any]) -> dict[str, Any]:
    """What this mailbox has still to look for, as changes of its cursor."""
    opened = datetime.fromisoformat(start["opened"])
    rounds = world.rounds.after(cursor["served"])
    # Who was a contact when the mailbox was met is found by the backfill.
    open_rounds = [one for one in rounds if one.at > opened]
    served = {"served": max((one.number for one in rounds), default=cursor["served"])}
    served |= {"relisted": start.get("relist", 0)}
    addresses = tuple(dict.fromkeys(address for one in open_rounds for address in one.addresses))
    all_of_it = any(not one.addresses for one in open_rounds) or served["relisted"] > cursor["relisted"]
    # Rounds are kept for a time: a mailbox that was away for longer cannot know whom it missed.
    gap = bool(rounds) and rounds[0].number > cursor["served"] + 1 and opened < world.clock() - KEPT
    if all_of_it or gap or len(addresses) > SEARCHED:
        return {**served, "task": _listing(world, start)}
    return {**served, "task": {"search": list(addresses)} if addresses else None}


def _oldest(work: Work, start: Mapping[str, Any]) -> datetime | None:
    return work.world.policy().mail.backfill_start(datetime.fromisoformat(start["opened"]))


def _listing(world: World, start: Mapping[str, Any]) -> dict[str, Any]:
    opened = datetime.fromisoformat(start["opened"])
    return listing.begin("newest", world.policy().mail.backfill_start(opened), world.clock() + folders.SKEW)


def _step(
    work: Work, task: Mapping[str, Any], start: Mapping[str, Any], skipped: Collection[str]
) -> dict[str, Any] | None:
    """One page of a task; returns what is left of it."""
    oldest = _oldest(work, start)
    if "search" not in task:
        left = listing.one_page(work, task, skipped, known=True, oldest=oldest)
        return None if left["done"] else left
    address, *others = task["search"]
    found, page = 0, work.box.search(address)
    while page is not None:
        found += len(page.items) + len(page.broken)
        capture(work, page, skipped, known=True, oldest=oldest)
        if found >= MOST_FOUND:
            page = None
        elif not page.next:
            return {"search": others} if others else None
        elif work.late():
            raise Unavailable("More mail of one address than one job can read.", 60)
        else:
            page = work.box.follow(page.next)
    # Not to be searched for, or more than a search tells: a listing finds all, the other addresses' mail as well.
    return _listing(work.world, start)
