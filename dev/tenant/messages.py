"""Messages: lists, one message, its MIME, its attachments.

Lists page with $skip as the real ones do: a message deleted while somebody pages moves the rest up, and one is missed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dev.tenant.call import Call, keyed
from dev.tenant.compose import mime
from dev.tenant.exchange import Answer, Json, Refusal, bad_request
from dev.tenant.filters import Filter, Type, filter_of, order_of, seconds
from dev.tenant.folders import Folder, Timeline
from dev.tenant.ids import well_formed
from dev.tenant.mail import DEFAULT_PROPERTIES, PROPERTIES, Message, View, clean, shown, timestamp, value_of
from dev.tenant.mailbox import Mailbox
from dev.tenant.odata import MOST, next_query, refuse_unbuilt, selected, too_complex

PAGE = 10
FILTERS: dict[str, Type] = {
    **dict.fromkeys(("receivedDateTime", "sentDateTime", "lastModifiedDateTime", "createdDateTime"), "time"),
    **dict.fromkeys(("internetMessageId", "subject", "conversationId", "importance", "parentFolderId"), "text"),
    **dict.fromkeys(("from/emailAddress/address", "from/emailAddress/name", "sender/emailAddress/address"), "text"),
    **dict.fromkeys(("isDraft", "isRead", "hasAttachments"), "flag"),
}
_FILE_PROPERTIES = (
    *("id", "lastModifiedDateTime", "name", "contentType", "size", "isInline"),
    *("contentId", "contentLocation", "contentBytes"),
)
_WORDS = frozenset(("body", "uniqueBody"))


def list_all(call: Call, user: str) -> Answer:
    """GET /users/{id}/messages: all folders, Deleted Items and Drafts too, newest first by default."""
    mailbox = call.mailbox(user)
    hidden = set() if call.query.flag("includehiddenmessages") else {f.id for f in mailbox.folders.values() if f.hidden}
    rows = _rows(call, mailbox.timeline, lambda message: message.folder not in hidden)
    return _page(call, mailbox, rows, keyed("users", user) + "/messages")


def list_folder(call: Call, user: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/messages."""
    mailbox = call.mailbox(user)
    folder = folder_of(mailbox, place)
    rows = _rows(call, folder.messages, lambda _: True)
    return _page(call, mailbox, rows, f"{keyed('users', user)}/{keyed('mailFolders', place)}/messages")


def one(call: Call, user: str, id: str) -> Answer:
    """GET /users/{id}/messages/{id}."""
    mailbox = call.mailbox(user)
    message = message_of(mailbox, id)
    names = selected(call.query, PROPERTIES, DEFAULT_PROPERTIES, "message")
    out = show(call, mailbox, message, names, call.view(single=True))
    if _expands(call):
        out["attachments"] = _files(call, message, _FILE_PROPERTIES)
    context = call.context(_context(call, keyed("users", user) + "/messages"))
    return Answer({"@odata.context": context + "/$entity", **out})


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


def attachments(call: Call, user: str, id: str) -> Answer:
    """GET .../messages/{id}/attachments: with the bytes unless $select leaves them out."""
    message = message_of(call.mailbox(user), id)
    refuse_unbuilt(call.query, "$filter", "$orderby", "$search", "$expand", "$skip", "$top")
    names = selected(call.query, _FILE_PROPERTIES, _FILE_PROPERTIES, "attachment")
    path = f"{keyed('users', user)}/{keyed('messages', id)}/attachments"
    files = _files(call, message, names)
    return Answer({"@odata.context": call.context(_context(call, path)), "value": files})


def attachment(call: Call, user: str, id: str, file: str) -> Answer:
    """GET .../attachments/{id}."""
    message = message_of(call.mailbox(user), id)
    names = selected(call.query, _FILE_PROPERTIES, _FILE_PROPERTIES, "attachment")
    path = f"{keyed('users', user)}/{keyed('messages', id)}/attachments"
    found = _file(call, message, _position(call, message, file), names)
    return Answer({"@odata.context": call.context(_context(call, path)) + "/$entity", **found})


def attachment_value(call: Call, user: str, id: str, file: str) -> Answer:
    """GET .../attachments/{id}/$value: the bytes."""
    message = message_of(call.mailbox(user), id)
    found = message.mail.attachments[_position(call, message, file)]
    return Answer(found.content, headers={"Content-Type": _line(found.content_type) or "application/octet-stream"})


# -- shared with the delta


def folder_of(mailbox: Mailbox, place: str) -> Folder:
    """A folder by id or well-known name, as a URL may name it."""
    found = mailbox.folders.get(place) or mailbox.folders.get(mailbox.known.get(place.lower(), ""))
    if found is not None:
        return found
    if well_formed(place):
        raise not_found()
    if place.isalpha():
        raise Refusal(404, "ErrorFolderNotFound", f"This mailbox has no folder {place!r}.")
    raise Refusal(400, "ErrorInvalidIdMalformed", "The folder's id is not well formed.")


def message_of(mailbox: Mailbox, id: str) -> Message:
    """A message by either form of its id; letter case counts."""
    if not well_formed(id):
        raise Refusal(400, "ErrorInvalidIdMalformed", "The message's id is not well formed.")
    try:
        return mailbox.message(id)
    except KeyError:
        raise not_found() from None


def not_found() -> Refusal:
    """Exchange's 404."""
    return Refusal(404, "ErrorItemNotFound", "The store has no such object.")


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


def _rows(call: Call, line: Timeline, wanted: Callable[[Message], bool]) -> Iterator[Message]:
    refuse_unbuilt(call.query, "$search", "$skiptoken")
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
    expands = _expands(call)
    names = selected(call.query, PROPERTIES, DEFAULT_PROPERTIES, "message")
    size = call.page_size(call.query.number("$top", 1, MOST), PAGE)
    skip = call.query.number("$skip", 0)
    out: Json = {"@odata.context": call.context(_context(call, path))}
    if call.query.flag("$count"):
        counted = list(rows)
        out["@odata.count"], rows = len(counted), iter(counted)
    if call.tenant.switches.empty_pages_with_nextlink and skip is None:
        return Answer({**out, "@odata.nextLink": _next(call, 0), "value": []})
    found = list(islice(rows, skip or 0, (skip or 0) + size + 1))
    items = [show(call, mailbox, message, names, call.view()) for message in found[:size]]
    if expands:
        for item, message in zip(items, found, strict=False):
            item["attachments"] = _files(call, message, _FILE_PROPERTIES)
    if len(found) > size:
        out["@odata.nextLink"] = _next(call, (skip or 0) + size)
    return Answer({**out, "value": items})


def _next(call: Call, skip: int) -> str:
    return f"{call.base}/{call.path}?{next_query(call.query_text, skip=str(skip))}"


def _expands(call: Call) -> bool:
    asked = call.query.get("$expand").strip().lower()
    if asked and asked != "attachments":
        refuse_unbuilt(call.query, "$expand")
    return asked == "attachments"


def _context(call: Call, path: str) -> str:
    chosen = call.query.get("$select").strip()
    return f"{path}({chosen})" if chosen else path


def _files(call: Call, message: Message, names: tuple[str, ...]) -> list[Json]:
    return [_file(call, message, at, names) for at in range(len(message.mail.attachments))]


def _file(call: Call, message: Message, at: int, names: tuple[str, ...]) -> Json:
    file = message.mail.attachments[at]
    mail = file.content_type.lower().startswith("message/")
    every: Json = {
        "id": _file_id(call, message, at),
        "lastModifiedDateTime": timestamp(message.received),
        "name": clean(file.name) or f"Attachment {at + 1}",
        "contentType": _line(file.content_type) or None,
        "size": len(file.content) + 200,
        "isInline": file.inline,
        "contentId": clean(file.content_id) or None,
        "contentLocation": None,
        "contentBytes": "",
    }
    kind = "itemAttachment" if mail else "fileAttachment"
    out: Json = {"@odata.type": f"#microsoft.graph.{kind}", "id": every["id"]}
    for name in names:
        if not mail or not name.startswith("content") or name == "contentType":
            out[name] = b64encode(file.content).decode() if name == "contentBytes" else every[name]
    return out


def _file_id(call: Call, message: Message, at: int) -> str:
    own = call.view().id_of(message)
    return own[:-4] + "AAABEgAQA" + call.tenant.ids.text(18, "attachment", own, str(at)) + "A="


def _position(call: Call, message: Message, file: str) -> int:
    for at in range(len(message.mail.attachments)):
        if _file_id(call, message, at) == file:
            return at
    if not well_formed(file):
        raise Refusal(400, "ErrorInvalidIdMalformed", "The attachment's id is not well formed.")
    raise not_found()


def _line(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "", clean(text)).strip()


def refuse_mailbox_delta(call: Call, user: str) -> Answer:
    """GET /users/{id}/messages/delta: there is none, a delta belongs to one folder (graph-facts 3.2)."""
    call.mailbox(user)
    raise bad_request("Change tracking over all messages of a mailbox does not exist; ask folder by folder.")
