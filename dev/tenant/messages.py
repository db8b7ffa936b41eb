"""Messages: lists, searches, one message, its MIME.

Lists page with $skip as the real ones do: a message deleted while somebody pages moves the rest up, and one is missed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dev.tenant.call import Call, keyed
from dev.tenant.compose import mime
from dev.tenant.exchange import Answer, Json, bad_request
from dev.tenant.files import PROPERTIES as FILE_PROPERTIES
from dev.tenant.files import shown_files
from dev.tenant.filters import Filter, Type, filter_of, order_of, seconds
from dev.tenant.folders import Timeline
from dev.tenant.lookup import folder_of, message_of, not_found
from dev.tenant.mail import DEFAULT_PROPERTIES, PROPERTIES, Message, View, shown, value_of
from dev.tenant.mailbox import Mailbox
from dev.tenant.meetings import MEETING_PROPERTIES
from dev.tenant.odata import MOST, next_query, query_of, refuse_unbuilt, selected, too_complex
from dev.tenant.search import MOST_FOUND, check_alone, search_of

PAGE = 10
FILTERS: dict[str, Type] = {
    **dict.fromkeys(("receivedDateTime", "sentDateTime", "lastModifiedDateTime", "createdDateTime"), "time"),
    **dict.fromkeys(("internetMessageId", "subject", "conversationId", "importance", "parentFolderId"), "text"),
    **dict.fromkeys(("from/emailAddress/address", "from/emailAddress/name", "sender/emailAddress/address"), "text"),
    **dict.fromkeys(("isDraft", "isRead", "hasAttachments"), "flag"),
}
_PART = re.compile(r"[^,(]+(?:\([^()]*\))?")
_ID_IS = re.compile(r"\bid\s+eq\s+'((?:[^']|'')*)'", re.IGNORECASE)
_WORDS = frozenset(("body", "uniqueBody"))


def list_all(call: Call, user: str) -> Answer:
    """GET /users/{id}/messages: all folders, Deleted Items and Drafts too, newest first by default."""
    mailbox = call.past(user)
    rows = _rows(call, mailbox.timeline, _visible(call, mailbox))
    return _page(call, mailbox, rows, keyed("users", user) + "/messages")


def list_folder(call: Call, user: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/messages."""
    mailbox = call.past(user)
    folder = folder_of(mailbox, place)
    rows = _rows(call, folder.messages, lambda _: True)
    return _page(call, mailbox, rows, f"{keyed('users', user)}/{keyed('mailFolders', place)}/messages")


def one(call: Call, user: str, id: str) -> Answer:
    """GET /users/{id}/messages/{id}."""
    mailbox = call.mailbox(user)
    message = message_of(mailbox, id)
    names = selected(call.query, PROPERTIES, DEFAULT_PROPERTIES, "message", MEETING_PROPERTIES)
    out = show(call, mailbox, message, names, call.view(single=True))
    for expand in _expansions(call):
        expand(message, out)
    return Answer({"@odata.context": entity_context(call, user), **out})


def one_in_folder(call: Call, user: str, place: str, id: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/messages/{id}: found only in that folder."""
    mailbox = call.mailbox(user)
    if message_of(mailbox, id).folder != folder_of(mailbox, place).id:
        raise not_found()
    return one(call, user, id)


def value(call: Call, user: str, id: str) -> Answer:
    """GET .../messages/{id}/$value: the mail as MIME."""
    mailbox = call.mailbox(user)
    message = message_of(mailbox, id)
    call.tenant.tally.read(mailbox.address, message.id)
    return Answer(mime(message.mail), headers={"Content-Type": "text/plain"})


def count_all(call: Call, user: str) -> Answer:
    """GET /users/{id}/messages/$count."""
    mailbox = call.past(user)
    return _counted(_rows(call, mailbox.timeline, _visible(call, mailbox)))


def count_folder(call: Call, user: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/messages/$count."""
    return _counted(_rows(call, folder_of(call.past(user), place).messages, lambda _: True))


# -- shared with the delta


def show(call: Call, mailbox: Mailbox, message: Message, names: tuple[str, ...], view: View) -> Json:
    """A message as JSON; whoever is shown what it says is counted."""
    out = shown(message, names, view)
    if not _WORDS.isdisjoint(names):
        call.tenant.tally.read(mailbox.address, message.id)
    elif "bodyPreview" in names:
        call.tenant.tally.count("preview_reads")
    if call.tenant.switches.one_message_without_id and mailbox.nameless == message.id:
        del out["id"]
    return out


# -- inside


def _visible(call: Call, mailbox: Mailbox) -> Callable[[Message], bool]:
    hidden = set() if call.query.flag("includehiddenmessages") else {f.id for f in mailbox.folders.values() if f.hidden}
    return lambda message: message.folder not in hidden


def _counted(rows: Iterator[Message]) -> Answer:
    return Answer(str(sum(1 for _ in rows)).encode(), headers={"Content-Type": "text/plain"})


def _rows(call: Call, line: Timeline, wanted: Callable[[Message], bool]) -> Iterator[Message]:
    refuse_unbuilt(call.query, "$skiptoken")
    if call.query.get("$search").strip():
        refuse_unbuilt(call.query, "$count")
        check_alone(dict(call.query.options))
        found_by = search_of(call.query.get("$search"))
        newest = (row[2] for row in reversed(line.rows))
        return islice((message for message in newest if wanted(message) and found_by(message)), MOST_FOUND)
    text = call.query.get("$filter")
    rule = filter_of(text, FILTERS, PROPERTIES, "receivedDateTime") if text.strip() else None
    order = order_of(call.query.get("$orderby"), FILTERS, PROPERTIES)
    if rule is not None:
        _check_index(rule, tuple(name for name, _ in order))
    low, high = seconds(rule.bounds) if rule else (None, None)
    rows = line.rows
    start, end = line.between(low, high)
    up = order[:1] == (("receivedDateTime", False),)
    places = range(start, end) if up else range(end - 1, start - 1, -1)
    found = (rows[at][2] for at in places)
    kept = (message for message in found if wanted(message) and (rule is None or rule.test(_reader(message))))
    if not order or order[0][0] == "receivedDateTime":
        return kept
    return _sorted(kept, order)


def _check_index(rule: Filter, order: tuple[str, ...]) -> None:
    if order and rule.names[: len(order)] != order:
        raise too_complex("what $orderby names must come first, and in the same order, in $filter.")


def _sorted(messages: Iterator[Message], order: tuple[tuple[str, bool], ...]) -> Iterator[Message]:
    rows = list(messages)
    for name, down in reversed(order):
        rows.sort(key=lambda message: _sortable(_property(message, name)), reverse=down)
    return iter(rows)


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _reader(message: Message) -> Callable[[str], Any]:
    return lambda name: _property(message, name)


def _property(message: Message, name: str) -> Any:
    match name:
        case "receivedDateTime" | "createdDateTime":
            return message.received
        case "lastModifiedDateTime":
            return message.modified.replace(microsecond=0)
        case "sentDateTime":
            return message.sent
    if "/" in name:
        first, second, third = name.split("/")
        return ((message.light[first] or {}).get(second) or {}).get(third)
    return value_of(message, name, View())


def _page(call: Call, mailbox: Mailbox, rows: Iterator[Message], path: str) -> Answer:
    expansions = _expansions(call)
    names = selected(call.query, PROPERTIES, DEFAULT_PROPERTIES, "message", MEETING_PROPERTIES)
    size = call.page_size(call.query.number("$top", 1, MOST), PAGE)
    skip = call.query.number("$skip", 0)
    out: Json = {"@odata.context": call.context(call.chosen(path))}
    if call.query.flag("$count"):
        counted = list(rows)
        out["@odata.count"], rows = len(counted), iter(counted)
    if call.tenant.switches.empty_pages_with_nextlink and skip is None:
        return Answer({**out, "@odata.nextLink": _next(call, 0), "value": []})
    found = list(islice(rows, skip or 0, (skip or 0) + size + 1))
    items = [show(call, mailbox, message, names, call.view()) for message in found[:size]]
    for expand in expansions:
        for item, message in zip(items, found, strict=False):
            expand(message, item)
    if len(found) > size:
        out["@odata.nextLink"] = _next(call, (skip or 0) + size)
    return Answer({**out, "value": items})


def _next(call: Call, skip: int) -> str:
    return f"{call.base}/{call.path}?{next_query(call.query_text, skip=str(skip))}"


def _expansions(call: Call) -> list[Callable[[Message, Json], None]]:
    """What $expand adds to a message: its attachments, or extended properties by their ids."""
    out = []
    for part in _PART.findall(call.query.get("$expand")):
        name, _, options = part.strip().partition("(")
        match name.strip().lower():
            case "attachments":
                out.append(_attachments(call, options.removesuffix(")")))
            case "singlevalueextendedproperties":
                out.append(_extended(options))
            case _:
                refuse_unbuilt(call.query, "$expand")
    return out


def _attachments(call: Call, options: str) -> Callable[[Message, Json], None]:
    names = selected(query_of(options.replace(";", "&")), FILE_PROPERTIES, FILE_PROPERTIES, "attachment")

    def expand(message: Message, out: Json) -> None:
        out["attachments"] = shown_files(call, message, names)

    return expand


def _extended(options: str) -> Callable[[Message, Json], None]:
    asked = [quoted.replace("''", "'") for quoted in _ID_IS.findall(options)]

    def expand(message: Message, out: Json) -> None:
        found = [{"id": one, "value": message.extended[one]} for one in asked if one in message.extended]
        if found:
            out["singleValueExtendedProperties"] = found

    return expand


def entity_context(call: Call, user: str) -> str:
    """The @odata.context of one message."""
    return call.context(call.chosen(keyed("users", user) + "/messages")) + "/$entity"


def refuse_mailbox_delta(call: Call, user: str) -> Answer:
    """GET /users/{id}/messages/delta: there is none, a delta belongs to one folder."""
    call.mailbox(user)
    raise bad_request("Change tracking over all messages of a mailbox does not exist; ask folder by folder.")
