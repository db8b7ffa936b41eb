"""Delta queries over a folder's messages and over the folders of a mailbox.

A token holds the whole place: the position in the log, what the client asked at first, and a digest of the history up
to that position. A process with the same history takes it; with another one the answer is 410 syncStateNotFound.
Walking a log in order loses nothing: what changes while somebody pages moves to the end and is told there.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson

from dev.tenant.call import Call, keyed
from dev.tenant.exchange import Answer, Json, Refusal, bad_request
from dev.tenant.filters import filter_of, order_of, seconds
from dev.tenant.folders import Entry, Folder, Log
from dev.tenant.lookup import folder_of
from dev.tenant.mail import DEFAULT_PROPERTIES, PROPERTIES, Message
from dev.tenant.meetings import MEETING_PROPERTIES
from dev.tenant.messages import FILTERS, PAGE, show
from dev.tenant.odata import MOST, refuse_unbuilt, selected
from dev.tenant.tree import FOLDER_PROPERTIES, folder_shown

FILTERED_MOST = 5000
_REPLAYED = 3
_BOUND = re.compile(r"\s*receivedDateTime\s+(ge|gt)\s", re.IGNORECASE)

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Round:
    """A place in a round. `since` is where the round began, `at` how far it came, `told` how many a filtered
    first round told, `blank` that the empty page before this one was served. With `newest` the first round goes by
    time received down from `below`, and on from `opened` in the log when that is done."""

    log: str
    since: int = 0
    at: int = 0
    mark: str = ""
    names: list[str] = field(default_factory=list)
    after: float | None = None
    at_least: bool = True
    kind: str = ""
    top: int | None = None
    told: int = 0
    blank: bool = False
    newest: bool = False
    opened: int = 0
    below: list[Any] | None = None

    def token(self, log: Log[Any]) -> str:
        """This place as an opaque text."""
        return urlsafe_b64encode(orjson.dumps(replace(self, mark=log.mark(self.at)))).decode().rstrip("=")


def messages(call: Call, user: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/messages/delta."""
    mailbox = call.past(user)
    folder = folder_of(mailbox, place)
    path = (keyed("users", user), keyed("mailFolders", place), "messages", "delta")
    here = _resumed(call, folder.log, folder.id, path) or _opened(call, folder)
    view = call.view()
    names = tuple(here.names) or DEFAULT_PROPERTIES

    def told(entry: Entry[Message]) -> Json:
        if entry.removed or _lost(call, here, entry, folder):
            shown = entry.thing.id if view.immutable else entry.id
            return {"@odata.type": "#microsoft.graph.message", "id": shown, "@removed": {"reason": "deleted"}}
        # A meeting message brings a type of its own along.
        return {"@odata.type": "#microsoft.graph.message", **show(call, mailbox, entry.thing, names, view)}

    def wanted(entry: Entry[Message]) -> bool:
        return _tells(here, entry) and _passes(call, here, entry.thing) and not _still_here(call, entry, folder)

    top = None if call.tenant.switches.delta_ignores_top else here.top
    pager = _Pager(call, folder.log, here, call.page_size(call.prefer.page or top, PAGE), wanted)
    context = call.context("Collection(message)")
    return pager.answer(context, path, told, lambda: _by_time(folder, here))


def folders(call: Call, user: str) -> Answer:
    """GET /users/{id}/mailFolders/delta: the whole tree without hidden folders; $select only."""
    mailbox = call.past(user)
    path = (keyed("users", user), "mailFolders", "delta")
    here = _resumed(call, mailbox.tree, "folders", path)
    if here is None:
        refuse_unbuilt(call.query, "$filter", "$orderby", "$search", "$expand", "$skip", "changetype")
        here = Round("folders", names=list(selected(call.query, FOLDER_PROPERTIES, FOLDER_PROPERTIES, "mailFolder")))
    names = tuple(here.names)

    def told(entry: Entry[Folder]) -> Json:
        if entry.removed:
            return {"@odata.type": "#microsoft.graph.mailFolder", "id": entry.id, "@removed": {"reason": "deleted"}}
        return {"@odata.type": "#microsoft.graph.mailFolder", **folder_shown(mailbox, entry.thing, names)}

    def wanted(entry: Entry[Folder]) -> bool:
        return _tells(here, entry) and not entry.thing.hidden and entry.thing.known != "msgfolderroot"

    pager = _Pager(call, mailbox.tree, here, call.page_size(call.prefer.page, PAGE), wanted)
    return pager.answer(call.context("Collection(mailFolder)"), path, told, lambda: iter(()))


# -- what a round tells


def _tells(here: Round, entry: Entry[Any]) -> bool:
    if entry.removed:
        # Nobody is told that something left which he was never told of.
        return entry.created <= here.at and here.kind in ("", "deleted")
    return here.kind in ("", "created" if entry.created > here.since else "updated")


def _passes(call: Call, here: Round, message: Message) -> bool:
    if here.after is None or (here.since and call.tenant.switches.old_changes_pass_filter):
        return True
    return message.stamp > here.after or (here.at_least and message.stamp == here.after)


def _still_here(call: Call, entry: Entry[Message], folder: Folder) -> bool:
    """With immutable ids, an item that left and came back did not leave."""
    return call.prefer.immutable and entry.removed and entry.thing.folder == folder.id


def _lost(call: Call, here: Round, entry: Entry[Message], folder: Folder) -> bool:
    """The known issue of immutable ids: moved out and back within a round is told as a removal."""
    if not (call.tenant.switches.immutable_move_loses and call.prefer.immutable) or entry.created <= here.since:
        return False
    earlier = folder.log.entries[here.since : entry.created - 1]
    return any(other.removed and other.thing is entry.thing for other in earlier)


# -- rounds and pages


def _opened(call: Call, folder: Folder) -> Round:
    refuse_unbuilt(call.query, "$expand", "$skip")
    if call.query.get("$search"):
        raise bad_request("$search is not supported with a delta.")
    order = order_of(call.query.get("$orderby"), FILTERS, PROPERTIES)
    if order not in ((), (("receivedDateTime", True),)):
        raise bad_request("A delta is ordered by receivedDateTime desc or not at all.")
    kind = call.query.get("changetype").lower()
    if kind not in ("", "created", "updated", "deleted"):
        raise bad_request(f"changeType is created, updated or deleted, not {kind!r}.")
    after, at_least = _bound(call.query.get("$filter"))
    names = selected(call.query, PROPERTIES, (), "message", MEETING_PROPERTIES)
    top = call.query.number("$top", 1, MOST)
    opened = len(folder.log)
    return Round(folder.id, 0, 0, "", list(names), after, at_least, kind, top, newest=bool(order), opened=opened)


def _bound(text: str) -> tuple[float | None, bool]:
    if not text.strip():
        return None, True
    rule = filter_of(text, FILTERS, PROPERTIES, "receivedDateTime")
    if len(rule.bounds) != 1 or rule.names != ("receivedDateTime",) or not _BOUND.match(text):
        raise bad_request("A delta is filtered by receivedDateTime ge or gt a time, and by nothing else.")
    return seconds(rule.bounds)[0], rule.bounds[0][0] == "ge"


def _resumed(call: Call, log: Log[Any], name: str, path: tuple[str, ...]) -> Round | None:
    token = call.query.get("$skiptoken") or call.query.get("$deltatoken")
    if not token:
        return None
    try:
        raw = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        here = Round(**raw)
    except (ValueError, TypeError):
        raise Refusal(400, "SyncStateInvalid", "The delta token is not well formed.") from None
    if here.log != name:
        raise Refusal(400, "SyncStateInvalid", "The delta token belongs to another folder.")
    if log.mark(here.at) != here.mark:
        switches = call.tenant.switches
        location = {} if switches.gone_without_location else {"Location": call.link(*path, query="$deltatoken=")}
        message = "The state behind this delta token is not there any more; start a full round."
        raise Refusal(switches.gone_status, "syncStateNotFound", message, location)
    return here


def _by_time(folder: Folder, here: Round) -> Iterator[tuple[int, str, Message]]:
    """The rest of a first round that goes by time received, newest first."""
    below = tuple(here.below) if here.below else None
    for row in reversed(folder.messages.rows):
        if below is None or (row[0], row[1]) < below:
            yield row


class _Pager:
    """Fills one page and writes the link to the next."""

    def __init__(self, call: Call, log: Log[Any], here: Round, size: int, wanted: Callable[[Entry[Any]], bool]) -> None:
        self._call = call
        self._log = log
        self._here = here
        self._size = size
        self._wanted = wanted

    def answer(
        self,
        context: str,
        path: tuple[str, ...],
        told: Callable[[Entry[Any]], Json],
        by_time: Callable[[], Iterator[tuple[int, str, Message]]],
    ) -> Answer:
        """The page, with a nextLink or a deltaLink."""
        switches, here = self._call.tenant.switches, self._here
        if switches.empty_pages_with_nextlink and not here.blank:
            token = replace(here, blank=True).token(self._log)
            return Answer({"@odata.context": context, "@odata.nextLink": self._link(path, "skip", token), "value": []})
        entries, here, more = self._fill(replace(here, blank=False), by_time)
        items = [told(entry) for entry in self._replayed() + entries]
        if switches.duplicate_items and items:
            items.insert(0, items[-1])
        if switches.reorder_delta:
            items.sort(key=lambda item: self._call.tenant.ids.digest(8, "order", orjson.dumps(item)))
        if more:
            link = {"@odata.nextLink": self._link(path, "skip", here.token(self._log))}
        else:
            done = replace(here, since=here.at, told=0, newest=False, below=None)
            link = {"@odata.deltaLink": self._link(path, "delta", done.token(self._log))}
        return Answer({"@odata.context": context, **link, "value": items})

    def _fill(
        self, here: Round, by_time: Callable[[], Iterator[tuple[int, str, Message]]]
    ) -> tuple[list[Entry[Any]], Round, bool]:
        out: list[Entry[Any]] = []
        most = FILTERED_MOST - here.told if here.after is not None and not here.since else None
        size = self._size if most is None else min(self._size, most)
        if here.newest:
            here = self._newest(here, by_time(), size, out)
        at = here.at
        while not here.newest and at < len(self._log) and len(out) < size:
            entry = self._log.entries[at]
            at += 1
            if entry.last == at and self._wanted(entry):
                out.append(entry)
        here = replace(here, at=at, told=here.told + len(out))
        if most is not None and len(out) >= most:
            # Microsoft stops here: what the filter would still let through is never told.
            return out, replace(here, at=max(at, here.opened)), False
        return out, here, here.newest or at < len(self._log)

    def _newest(self, here: Round, rows: Iterator[tuple[int, str, Message]], size: int, out: list[Entry[Any]]) -> Round:
        known = {entry.thing.id: entry for entry in self._log.entries if not entry.removed}
        for stamp, key, _ in rows:
            if len(out) >= size:
                return here
            entry = known[key]
            if entry.last <= here.opened and self._wanted(entry):
                out.append(entry)
            here = replace(here, below=[stamp, key])
        return replace(here, newest=False, at=here.opened)

    def _replayed(self) -> list[Entry[Any]]:
        at = self._here.at
        if not self._call.tenant.switches.replay_pages or not at:
            return []
        told = dict.fromkeys(self._log.entries[max(0, at - _REPLAYED) : at])
        return [entry for entry in told if self._wanted(entry)]

    def _link(self, path: tuple[str, ...], kind: str, token: str) -> str:
        return self._call.link(*path, query=f"${kind}token={token}")
