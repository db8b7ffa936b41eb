"""Attachments as Graph shows them: files, enclosed items, links to files elsewhere."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dev.firm import Attachment
from dev.mailfiles import BadMail, parse_mail
from dev.tenant.call import Call, keyed
from dev.tenant.exchange import Answer, Json, Refusal
from dev.tenant.ids import Ids, well_formed
from dev.tenant.lookup import message_of, not_found
from dev.tenant.mail import DEFAULT_PROPERTIES, Message, View, clean, shown, stamp_of, timestamp
from dev.tenant.meetings import files_of
from dev.tenant.odata import refuse_unbuilt, selected

# Only a file has these; $select may name them with their type: microsoft.graph.fileAttachment/contentId.
FILE_ONLY = ("contentId", "contentLocation", "contentBytes")
PROPERTIES = ("id", "lastModifiedDateTime", "name", "contentType", "size", "isInline", *FILE_ONLY)
_OVERHEAD = 200
_ITEM = "microsoft.graph.itemattachment/item"


@dataclass(frozen=True, slots=True)
class Reference(Attachment):
    """A link to a file elsewhere in place of the file; it has no bytes. `url` is not shown by Graph v1.0."""

    content: bytes = b""
    url: str = ""


def everyone(call: Call, user: str, id: str) -> Answer:
    """GET .../messages/{id}/attachments: with the bytes unless $select leaves them out."""
    message = message_of(call.mailbox(user), id)
    refuse_unbuilt(call.query, "$filter", "$orderby", "$search", "$skip", "$top")
    names = selected(call.query, PROPERTIES, PROPERTIES, "attachment", FILE_ONLY)
    files = shown_files(call, message, names, with_items=_expands(call))
    context = call.context(call.chosen(f"{keyed('users', user)}/{keyed('messages', id)}/attachments"))
    count = {"@odata.count": len(files)} if call.query.flag("$count") else {}
    return Answer({"@odata.context": context, **count, "value": files})


def one(call: Call, user: str, id: str, file: str) -> Answer:
    """GET .../attachments/{id}; an enclosed mail with $expand=microsoft.graph.itemAttachment/item."""
    message = message_of(call.mailbox(user), id)
    names = selected(call.query, PROPERTIES, PROPERTIES, "attachment", FILE_ONLY)
    found = _shown(call, message, file, file_of(call, message, file), names, with_item=_expands(call))
    context = call.context(call.chosen(f"{keyed('users', user)}/{keyed('messages', id)}/attachments"))
    return Answer({"@odata.context": context + "/$entity", **found})


def value(call: Call, user: str, id: str, file: str) -> Answer:
    """GET .../attachments/{id}/$value: the bytes, of an enclosed mail as MIME; a link has none."""
    found = file_of(call, message_of(call.mailbox(user), id), file)
    if isinstance(found, Reference):
        raise Refusal(400, "ErrorInvalidRequest", "A link to a file has no bytes of its own.")
    kind = "text/plain" if is_item(found) else _line(found.content_type) or "application/octet-stream"
    return Answer(found.content, headers={"Content-Type": kind})


def count(call: Call, user: str, id: str) -> Answer:
    """GET .../attachments/$count."""
    number = len(files_of(message_of(call.mailbox(user), id).mail))
    return Answer(str(number).encode(), headers={"Content-Type": "text/plain"})


def shown_files(call: Call, message: Message, names: tuple[str, ...], *, with_items: bool = False) -> list[Json]:
    """All attachments of a message as JSON."""
    return [_shown(call, message, key, file, names, with_item=with_items) for key, file in _keyed(call, message)]


def file_of(call: Call, message: Message, id: str) -> Attachment:
    """An attachment by its id."""
    for key, file in _keyed(call, message):
        if key == id:
            return file
    if not well_formed(id):
        raise Refusal(400, "ErrorInvalidIdMalformed", "The attachment's id is not well formed.")
    raise not_found()


def is_item(file: Attachment) -> bool:
    """Whether it is a mail in the mail."""
    return file.content_type.lower().startswith("message/")


def keyed_files(ids: Ids, own: str, message: Message) -> list[tuple[str, Attachment]]:
    """The attachments with their ids, which begin with the message's in the form `own` that the client uses."""
    seen: Counter[tuple[str, ...]] = Counter()
    out = []
    for file in files_of(message.mail):
        # Named by what it is and not by its place, so that removing one leaves the others their ids.
        parts = (file.name, file.content_type, file.content_id, str(len(file.content)))
        seen[parts] += 1
        key = ids.text(18, "attachment", own, *parts, str(seen[parts]))
        out.append((f"{own[:-4]}AAABEgAQA{key}A=", file))
    return out


def _keyed(call: Call, message: Message) -> list[tuple[str, Attachment]]:
    return keyed_files(call.tenant.ids, call.view().id_of(message), message)


def _shown(
    call: Call, message: Message, key: str, file: Attachment, names: tuple[str, ...], *, with_item: bool
) -> Json:
    kind = "referenceAttachment" if isinstance(file, Reference) else "itemAttachment" if is_item(file) else ""
    every: dict[str, Callable[[], Any]] = {
        "id": lambda: key,
        "lastModifiedDateTime": lambda: timestamp(message.received),
        "name": lambda: clean(file.name) or "Attachment",
        "contentType": lambda: _line(file.content_type) or None,
        "size": lambda: len(file.content) + _OVERHEAD,
        "isInline": lambda: file.inline,
        "contentId": lambda: clean(file.content_id) or None,
        "contentLocation": lambda: None,
        "contentBytes": lambda: b64encode(bytes(file.content)).decode(),
    }
    out: Json = {"@odata.type": f"#microsoft.graph.{kind or 'fileAttachment'}", "id": key}
    for name in names:
        # Only a file has the properties that begin so, but for its type.
        if not kind or not name.startswith("content") or name == "contentType":
            out[name] = every[name]()
    if with_item and kind == "itemAttachment":
        out["item"] = _item(call, message, file)
    return out


def _item(call: Call, message: Message, file: Attachment) -> Json | None:
    """The enclosed mail as a message; None where nobody can read it."""
    try:
        mail = parse_mail(bytes(file.content), file.name, message.received)
    except BadMail:
        return None
    inner = Message(
        *("", "", mail, "", stamp_of(mail.received), mail.received, "", False, True),
        digest=message.digest,
    )
    names = tuple(name for name in DEFAULT_PROPERTIES if name not in ("parentFolderId", "conversationId"))
    found = shown(inner, names, View(call.prefer.immutable, call.prefer.text, single=True))
    return {"@odata.type": "#microsoft.graph.message", **found}


def _expands(call: Call) -> bool:
    asked = call.query.get("$expand").strip().lower()
    if asked and asked != _ITEM:
        refuse_unbuilt(call.query, "$expand")
    return asked == _ITEM


def _line(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "", clean(text)).strip()
