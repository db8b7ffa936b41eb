"""Mail by date: a list of all folders of a mailbox, page by page, that can be left and taken up again anywhere.

Where it goes on is a time and the ids seen at that very second, never a stored nextLink: such links count by place
($skip) and lose mail as soon as somebody deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sync.errors import Unavailable
from sync.model import Envelope, MailPage
from sync.page import capture
from sync.work import Work

SECOND = timedelta(seconds=1)
Order = Literal["newest", "oldest", "changed"]
Mark = Callable[[Envelope], datetime | None]


def begin(order: Order, since: datetime | None, until: datetime) -> dict[str, Any]:
    """A list of [since, until] from its beginning: by time received, newest or oldest first, or by time of change.

    What is changed while it is listed moves behind its end, so by time of change the oldest always comes first.
    """
    bounds = {"since": since.isoformat() if since else None, "until": until.isoformat()}
    return {"order": order, **bounds, "edge": [], "done": False}


def one_page(
    work: Work,
    place: Mapping[str, Any],
    skipped: Collection[str],
    known: bool = False,
    oldest: datetime | None = None,
) -> dict[str, Any]:
    """Capture one page and move the edge to the last time on it, with the ids seen at that very second.

    Graph shows whole seconds and compares fractions, so the edge is asked for with the second behind it.
    """
    newest_first, mark = place["order"] == "newest", _received if place["order"] != "changed" else _modified
    since, until = (datetime.fromisoformat(place[name]) if place[name] else None for name in ("since", "until"))
    assert until is not None  # noqa: S101 - only the beginning may be open
    ask = work.box.older if place["order"] != "changed" else work.box.changed
    page = ask(since, until + SECOND, newest_first)
    while page.next and not _beyond(page, until if newest_first else since, newest_first, mark):
        # A whole page of one second, or an empty one: only within one job is a nextLink safe to follow.
        capture(work, _unseen(work, page, place), skipped, known, oldest)
        if work.late():
            raise Unavailable("More mail of one second than one job can read.", 60)
        page = work.box.follow(page.next)
    capture(work, _unseen(work, page, place), skipped, known, oldest)
    moved = dict(place, done=page.next is None)
    if page.next:
        times = [known_time for one in page.items if (known_time := mark(one))]
        edge = min(times) if newest_first else max(times)
        moved["until" if newest_first else "since"] = edge.isoformat()
        moved["edge"] = [work.mark(one.id) for one in page.items if mark(one) in (edge, edge + SECOND)]
    return moved


def _received(one: Envelope) -> datetime | None:
    return one.received


def _modified(one: Envelope) -> datetime | None:
    return one.modified


def _beyond(page: MailPage, edge: datetime | None, newest_first: bool, mark: Mark) -> bool:
    """Whether a page holds mail behind the second at which the last one ended."""
    times = [known for one in page.items if (known := mark(one))]
    if edge is None or not times:
        return bool(times)
    return min(times) < edge.replace(microsecond=0) if newest_first else max(times) > edge


def _unseen(work: Work, page: MailPage, place: Mapping[str, Any]) -> MailPage:
    seen = set(place["edge"])
    if not seen:
        return page
    return replace(page, items=tuple(one for one in page.items if work.mark(one.id) not in seen))
