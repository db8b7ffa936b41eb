"""A message as clients write it: lenient in spelling, plain about what cannot be.

Names and enumerations count in any letter case, booleans may be texts, properties that only the service sets are
passed over; a name that no message has is a 400.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dev.firm import Attachment, Party
from dev.tenant.compose import composed, mime
from dev.tenant.exchange import Json, Refusal
from dev.tenant.files import Reference
from dev.tenant.mail import PROPERTIES

MOST_HEADERS = 5
_RECIPIENTS = {"torecipients": "to", "ccrecipients": "cc", "bccrecipients": "bcc", "replyto": "reply_to"}
_FLAGS = {
    "isdeliveryreceiptrequested": "isDeliveryReceiptRequested",
    "isreadreceiptrequested": "isReadReceiptRequested",
}
_ENUMS = {
    "importance": ("importance", ("low", "normal", "high")),
    "inferenceclassification": ("inferenceClassification", ("focused", "other")),
}
_KNOWN = {name.lower() for name in PROPERTIES}


@dataclass(slots=True)
class Written:
    """What a client wrote: `mail` are fields of MailFile, `extra` properties over them, `headers` those to be added."""

    mail: dict[str, Any] = field(default_factory=dict)
    extra: Json = field(default_factory=dict)
    extended: dict[str, str] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    read: bool | None = None


def lowered(body: Mapping[str, Any]) -> Json:
    """An object by its names in lower case, without annotations."""
    return {name.lower(): value for name, value in body.items() if "@odata" not in name.lower()}


def parameter(body: Mapping[str, Any], name: str) -> Any:
    """An action's parameter in whatever case it is written; None where it is missing."""
    return lowered(body).get(name.lower())


def message_of_json(body: Any) -> Written:
    """Read a message resource, whole or in part."""
    out = Written()
    for name, value in lowered(_object(body, "The message")).items():
        reader = _READERS.get(name)
        if reader is not None:
            reader(out, name, value)
        elif name not in _KNOWN:
            raise _unreadable(f"A message has no property {name!r}.")
    return out


def file_of_json(body: Any) -> Attachment:
    """Read an attachment resource."""
    given = _object(body, "The attachment")
    kind = str(given.get("@odata.type", "#microsoft.graph.fileAttachment")).rpartition(".")[2].lower()
    plain = lowered(given)
    name = _text(plain.get("name"), "name")
    shared = {"content_id": _text(plain.get("contentid"), "contentId"), "inline": flag(plain.get("isinline"))}
    match kind:
        case "referenceattachment":
            return Reference(name, "application/octet-stream", url=_text(plain.get("sourceurl"), "sourceUrl"))
        case "itemattachment":
            return Attachment(name, "message/rfc822", _enclosed(plain.get("item"), name), **shared)
        case "fileattachment":
            content = _base64(plain.get("contentbytes"), "contentBytes")
            return Attachment(name, _text(plain.get("contenttype"), "contentType"), content, **shared)
    raise _unreadable(f"There is no attachment of type {given.get('@odata.type')!r}.")


def recipients(value: Any, name: str) -> tuple[Party, ...]:
    """Read a list of recipients."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _unreadable(f"{name} is not a list.")
    return tuple(_party(one, name) for one in value)


def flag(value: Any) -> bool:
    """A boolean, also written as a text."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _unreadable(f"{value!r} is neither true nor false.")


def _set_recipients(out: Written, name: str, value: Any) -> None:
    out.mail[_RECIPIENTS[name]] = recipients(value, name)


def _set_party(out: Written, name: str, value: Any) -> None:
    out.mail["author" if name == "from" else "sender"] = None if value is None else _party(value, name)


def _set_text(out: Written, name: str, value: Any) -> None:
    out.mail["subject" if name == "subject" else "message_id"] = _text(value, name)


def _set_body(out: Written, name: str, value: Any) -> None:
    given = lowered(_object(value or {}, name))
    kind = _text(given.get("contenttype") or "text", "contentType").lower()
    if kind not in ("text", "html"):
        raise _unreadable(f"A body is text or html, not {kind!r}.")
    out.mail["body"], out.mail["html"] = _text(given.get("content"), "content"), kind == "html"


def _set_read(out: Written, _: str, value: Any) -> None:
    out.read = flag(value)


def _set_flag(out: Written, name: str, value: Any) -> None:
    out.extra[_FLAGS[name]] = flag(value)


def _set_enum(out: Written, name: str, value: Any) -> None:
    spelled, words = _ENUMS[name]
    word = _text(value, name).lower() or words[0]
    if word not in words:
        raise _unreadable(f"{spelled} is one of {', '.join(words)}, not {value!r}.")
    out.extra[spelled] = word


def _set_categories(out: Written, name: str, value: Any) -> None:
    if not isinstance(value or [], list):
        raise _unreadable("categories is not a list.")
    out.extra["categories"] = [_text(one, name) for one in value or []]


def _set_follow_up(out: Written, name: str, value: Any) -> None:
    given = lowered(_object(value or {}, name))
    status = {"flagged": "flagged", "complete": "complete"}.get(str(given.get("flagstatus", "")).lower(), "notFlagged")
    out.extra["flag"] = {"flagStatus": status}


def _set_headers(out: Written, _: str, value: Any) -> None:
    pairs = [lowered(_object(one, "A header")) for one in value or []]
    out.headers = tuple((_text(one.get("name"), "name"), _text(one.get("value"), "value")) for one in pairs)
    for header, _ in out.headers:
        if not header.lower().startswith("x-"):
            raise Refusal(400, "InvalidInternetMessageHeader", f"The header {header!r} does not begin with x-.")
    if len(out.headers) > MOST_HEADERS:
        sentence = f"A message is given at most {MOST_HEADERS} headers."
        raise Refusal(400, "InvalidInternetMessageHeaderCollection", sentence)


def _set_extended(out: Written, _: str, value: Any) -> None:
    for one in value or []:
        pair = lowered(_object(one, "An extended property"))
        out.extended[_text(pair.get("id"), "id")] = _text(pair.get("value"), "value")


def _set_files(out: Written, _: str, value: Any) -> None:
    out.mail["attachments"] = tuple(map(file_of_json, value or []))


_READERS: dict[str, Callable[[Written, str, Any], None]] = {
    **dict.fromkeys(_RECIPIENTS, _set_recipients),
    **dict.fromkeys(("from", "sender"), _set_party),
    **dict.fromkeys(("subject", "internetmessageid"), _set_text),
    **dict.fromkeys(_FLAGS, _set_flag),
    **dict.fromkeys(_ENUMS, _set_enum),
    "body": _set_body,
    "isread": _set_read,
    "categories": _set_categories,
    "flag": _set_follow_up,
    "internetmessageheaders": _set_headers,
    "singlevalueextendedproperties": _set_extended,
    "attachments": _set_files,
}


def _enclosed(item: Any, name: str) -> bytes:
    inner = message_of_json(item or {})
    fields = {"author": None, "message_id": "", "subject": name, **inner.mail}
    return mime(composed(received=datetime(1970, 1, 1, tzinfo=UTC), **fields))


def _party(value: Any, name: str) -> Party:
    given = lowered(_object(value, name))
    address = lowered(_object(given.get("emailaddress") or {}, name))
    return Party(_text(address.get("name"), "name"), _text(address.get("address"), "address").strip())


def _object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise _unreadable(f"{what} is not a JSON object.")
    return value


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _unreadable(f"{name} is {value!r}, which is no text.")
    return value


def _base64(value: Any, name: str) -> bytes:
    try:
        return b64decode(_text(value, name).replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raise _unreadable(f"{name} is not base64.") from None


def _unreadable(sentence: str) -> Refusal:
    return Refusal(400, "RequestBodyRead", sentence)
