"""A message in a mailbox: what it holds, and its properties as Graph's JSON shows them."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from selectolax.lexbor import LexborHTMLParser

from dev.firm import MailFile, Party
from dev.tenant.exchange import Json
from dev.tenant.meetings import MEETING_PROPERTIES, files_of, meeting_of

PREVIEW = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _SECOND
_LAST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _SECOND
_BREAKS = ("br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "ul", "ol")


@dataclass(eq=False, slots=True)
class Message:
    """`id` is the immutable id; `moving` the ordinary one, which a move changes. `stamp` is the time received.
    `extra` are properties that a client set over what the mail says, `extended` its single-value extended ones."""

    id: str
    moving: str
    mail: MailFile
    folder: str
    stamp: int
    modified: datetime
    conversation: str
    draft: bool
    read: bool
    digest: Callable[..., bytes]
    version: int = 0
    moves: int = 0
    extra: Json = field(default_factory=dict)
    extended: dict[str, str] = field(default_factory=dict)
    _light: Json = field(default_factory=dict)
    _text: str | None = None

    @property
    def received(self) -> datetime:
        """The time received, to the second."""
        return moment(self.stamp)

    @property
    def sent(self) -> datetime:
        """The time sent; a mail without a readable date counts as sent when it came."""
        return moment(stamp_of(self.mail.sent)) if self.mail.sent else self.received

    @property
    def change_key(self) -> str:
        """Changes with every change of the message."""
        return "CQAAABYAAAB" + b64encode(self.digest(18, "change", self.id, str(self.version))).decode()

    @property
    def light(self) -> Json:
        """The properties that seldom change, without the body; built once between two edits."""
        if not self._light:
            self._light.update({**_light(self.mail, self.received, self.sent), **self.extra})
        return self._light

    def edited(self) -> None:
        """Forget what was built of the mail, which is another one now."""
        self._light.clear()
        self._text = None

    def text(self) -> str:
        """The body as plain text; built once, at the first need."""
        if self._text is None:
            self._text = html_text(self.mail.body) if self.mail.html else clean(self.mail.body)
        return self._text


@dataclass(frozen=True, slots=True)
class View:
    """How a client wants to see messages: which form of ids, bodies as text, and whether it reads one message alone."""

    immutable: bool = False
    text: bool = False
    single: bool = False

    def id_of(self, message: Message) -> str:
        """The message's id in the form asked for."""
        return message.id if self.immutable else message.moving


def moment(stamp: int) -> datetime:
    """A time from seconds since 1970, before it as well."""
    return _EPOCH + timedelta(seconds=stamp)


def html_text(html: str) -> str:
    """HTML as plain text, roughly as Exchange flattens it."""
    tree = LexborHTMLParser(clean(html))
    for node in tree.css("script, style, head"):
        node.decompose()
    for node in tree.css(", ".join(_BREAKS)):
        node.insert_before("\n")
    text = tree.body.text() if tree.body else ""
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in text.splitlines())
    return re.sub(r"(\r\n){3,}", "\r\n\r\n", "\r\n".join(lines)).strip()


def clean(text: str) -> str:
    """Text that can be written as UTF-8; real mail may hold half characters."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def stamp_of(when: datetime) -> int:
    """Whole seconds since 1970; a time without zone is taken as UTC, one beyond the calendar as its edge."""
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((aware - _EPOCH) // _SECOND, _FIRST), _LAST)


def timestamp(when: datetime) -> str:
    """A DateTimeOffset as Graph writes it."""
    stamp = moment(stamp_of(when))
    return f"{stamp.year:04}-{stamp:%m-%dT%H:%M:%S}Z"


def recipient(party: Party) -> Json:
    """A recipient; one without a name is shown with the address as name."""
    return {"emailAddress": {"name": clean(party.name or party.address), "address": clean(party.address)}}


def _light(mail: MailFile, received: datetime, sent: datetime) -> Json:
    author = recipient(mail.author) if mail.author else None
    when = timestamp(received)
    return {
        "createdDateTime": when,
        "receivedDateTime": when,
        "sentDateTime": timestamp(sent),
        "hasAttachments": any(not one.inline for one in files_of(mail)),
        "internetMessageId": clean(mail.message_id) or None,
        "subject": clean(mail.subject),
        "importance": _importance(mail),
        "categories": [],
        "isDeliveryReceiptRequested": None,
        "isReadReceiptRequested": False,
        "inferenceClassification": "focused",
        "sender": recipient(mail.sender) if mail.sender else author,
        "from": author,
        "toRecipients": [recipient(one) for one in mail.to],
        "ccRecipients": [recipient(one) for one in mail.cc],
        "bccRecipients": [recipient(one) for one in mail.bcc],
        "replyTo": [recipient(one) for one in mail.reply_to],
        "flag": {"flagStatus": "notFlagged"},
    }


def _importance(mail: MailFile) -> str:
    said = {name.lower(): value.strip().lower() for name, value in mail.headers}
    word = said.get("importance", "") or {"1": "high", "2": "high", "4": "low", "5": "low"}.get(
        said.get("x-priority", "")[:1], "normal"
    )
    return word if word in ("low", "high") else "normal"


def _body(message: Message, view: View) -> Json:
    if view.text:
        return {"contentType": "text", "content": message.text()}
    return {"contentType": "html" if message.mail.html else "text", "content": clean(message.mail.body)}


def _headers(message: Message, view: View) -> list[Json] | None:
    if not view.single:
        return None
    return [{"name": clean(name), "value": clean(value)} for name, value in message.mail.headers]


def _web_link(message: Message, view: View) -> str:
    item = quote(view.id_of(message), safe="")
    return f"https://outlook.office365.com/owa/?ItemID={item}&exvsurl=1&viewmodel=ReadMessageItem"


def _meeting(name: str) -> Callable[[Message, View], Any]:
    return lambda message, _: meeting_of(message.mail).get(name)


_VARYING: dict[str, Callable[[Message, View], Any]] = {
    "id": lambda message, view: view.id_of(message),
    "lastModifiedDateTime": lambda message, _: timestamp(message.modified),
    "changeKey": lambda message, _: message.change_key,
    "parentFolderId": lambda message, _: message.folder,
    "conversationId": lambda message, _: message.conversation,
    "conversationIndex": lambda message, _: b64encode(message.digest(22, "index", message.conversation)).decode(),
    "isRead": lambda message, _: message.read,
    "isDraft": lambda message, _: message.draft,
    "webLink": _web_link,
    "bodyPreview": lambda message, _: message.text()[:PREVIEW],
    "body": _body,
    "uniqueBody": _body,
    "internetMessageHeaders": _headers,
    **{name: _meeting(name) for name in MEETING_PROPERTIES},
}
# Graph's default properties in its order; uniqueBody and internetMessageHeaders come only where they are selected.
DEFAULT_PROPERTIES = (
    *("id", "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "receivedDateTime", "sentDateTime"),
    *("hasAttachments", "internetMessageId", "subject", "bodyPreview", "importance", "parentFolderId"),
    *("conversationId", "conversationIndex", "isDeliveryReceiptRequested", "isReadReceiptRequested", "isRead"),
    *("isDraft", "webLink", "inferenceClassification", "body", "sender", "from", "toRecipients", "ccRecipients"),
    *("bccRecipients", "replyTo", "flag"),
)
PROPERTIES = (
    *DEFAULT_PROPERTIES,
    *("uniqueBody", "internetMessageHeaders", "attachments", "extensions"),
    *("singleValueExtendedProperties", "multiValueExtendedProperties"),
)


def value_of(message: Message, name: str, view: View) -> Any:
    """One property."""
    getter = _VARYING.get(name)
    return getter(message, view) if getter else message.light.get(name)


def shown(message: Message, names: tuple[str, ...], view: View) -> Json:
    """The message with these properties. Relations among them are left to $expand, headers to reading it alone."""
    light = message.light
    out: Json = {"@odata.etag": f'W/"{message.change_key}"'}
    meeting = meeting_of(message.mail)
    if meeting:
        out = {"@odata.type": meeting["@odata.type"], **out}
        # Whoever selects nothing gets all that the derived type has.
        names = (*names, *(meeting if names == DEFAULT_PROPERTIES else ()))
    for name in names:
        if name in MEETING_PROPERTIES and name not in meeting:
            continue
        getter = _VARYING.get(name)
        if getter is not None:
            out[name] = getter(message, view)
        elif name in light:
            out[name] = light[name]
    if not view.single:
        out.pop("internetMessageHeaders", None)
    if "id" not in out:
        out["id"] = view.id_of(message)
    return out
