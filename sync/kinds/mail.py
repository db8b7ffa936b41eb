"""Graph's message, folder and body JSON, read into our nouns. Pure.

https://learn.microsoft.com/graph/api/resources/message
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TypedDict

from sync.errors import BadItem
from sync.model import Address, Attachment, Body, Envelope, Folder

# Enough to decide who is concerned; a body is fetched only for what is kept.
LIGHT_FIELDS = (
    "id",
    "internetMessageId",
    "conversationId",
    "subject",
    "from",
    "sender",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
    "sentDateTime",
    "receivedDateTime",
    "parentFolderId",
    "isDraft",
    "hasAttachments",
    "lastModifiedDateTime",
)

# A file's content id belongs to the derived type; its bytes are never part of a list.
ATTACHMENT_FIELDS = ("id", "name", "contentType", "size", "isInline", "microsoft.graph.fileAttachment/contentId")


class EmailAddressJson(TypedDict, total=False):
    """emailAddress"""

    name: str | None
    address: str | None


class RecipientJson(TypedDict, total=False):
    """recipient"""

    emailAddress: EmailAddressJson | None


class HeaderJson(TypedDict, total=False):
    """internetMessageHeader"""

    name: str | None
    value: str | None


class BodyJson(TypedDict, total=False):
    """itemBody"""

    contentType: str
    content: str | None


MessageJson = TypedDict(
    "MessageJson",
    {
        "id": str,
        "internetMessageId": str | None,
        "conversationId": str | None,
        "subject": str | None,
        "from": RecipientJson | None,
        "sender": RecipientJson | None,
        "toRecipients": list[RecipientJson],
        "ccRecipients": list[RecipientJson],
        "bccRecipients": list[RecipientJson],
        "sentDateTime": str | None,
        "receivedDateTime": str | None,
        "lastModifiedDateTime": str | None,
        "parentFolderId": str | None,
        "isDraft": bool | None,
        "hasAttachments": bool | None,
        "body": BodyJson | None,
        "internetMessageHeaders": list[HeaderJson] | None,
        "@odata.type": str,
        "@removed": dict[str, str],
    },
    total=False,
)


AttachmentJson = TypedDict(
    "AttachmentJson",
    {
        "@odata.type": str,
        "id": str,
        "name": str | None,
        "contentType": str | None,
        "size": int | None,
        "isInline": bool | None,
        "contentId": str | None,
    },
    total=False,
)
_KINDS: dict[str, Literal["file", "item", "reference"]] = {
    "#microsoft.graph.itemAttachment": "item",
    "#microsoft.graph.referenceAttachment": "reference",
}


class FolderJson(TypedDict, total=False):
    """mailFolder"""

    id: str
    displayName: str | None
    parentFolderId: str | None
    isHidden: bool | None


def read_envelope(json: MessageJson) -> Envelope:
    """A message's light fields; raises BadItem for one that has no id or an unreadable date."""
    if not json.get("id"):
        raise BadItem(
            f"message received {json.get('receivedDateTime') or 'at an unknown time'}",
            "Microsoft Graph listed a message without an id: it cannot be fetched, the next full pass tries again.",
        )
    return Envelope(
        id=json["id"],
        message_id=json.get("internetMessageId") or "",
        conversation=json.get("conversationId") or "",
        subject=json.get("subject") or "",
        sender=_party(json.get("sender")),
        author=_party(json.get("from")),
        to=_parties(json.get("toRecipients")),
        cc=_parties(json.get("ccRecipients")),
        bcc=_parties(json.get("bccRecipients")),
        sent=_moment(json["id"], json.get("sentDateTime")),
        received=_moment(json["id"], json.get("receivedDateTime")),
        folder=json.get("parentFolderId") or "",
        draft=bool(json.get("isDraft")),
        attachments=bool(json.get("hasAttachments")),
        modified=_perhaps(json.get("lastModifiedDateTime")),
    )


def read_body(json: MessageJson) -> Body:
    """What a message says; a body that is null is an empty one, an answer without one is no message."""
    if not json.get("id") or "body" not in json:
        raise BadItem(json.get("id") or "a message", "Microsoft Graph answered for a message without its body.")
    body = json["body"] or {}
    headers = tuple((one.get("name") or "", one.get("value") or "") for one in json.get("internetMessageHeaders") or ())
    html = (body.get("contentType") or "").lower() == "html"
    return Body(body.get("content") or "", html, headers, json.get("@odata.type") or "")


def read_attachment(json: AttachmentJson) -> Attachment:
    """What hangs on a message; raises BadItem for one without an id."""
    if not json.get("id"):
        raise BadItem("an attachment", "Microsoft Graph listed an attachment without an id.")
    return Attachment(
        id=json["id"],
        name=json.get("name") or "",
        content_type=json.get("contentType") or "",
        size=json.get("size") or 0,
        inline=bool(json.get("isInline")),
        content_id=(json.get("contentId") or "").strip("<>"),
        kind=_KINDS.get(json.get("@odata.type", ""), "file"),
    )


def read_folder(json: FolderJson) -> Folder:
    """A mail folder."""
    name, parent = json.get("displayName") or "", json.get("parentFolderId") or ""
    return Folder(json["id"], name, parent, bool(json.get("isHidden")))


def _party(json: RecipientJson | None) -> Address | None:
    mail = (json or {}).get("emailAddress")
    if not mail:
        return None
    return Address(mail.get("name") or "", mail.get("address") or "")


def _parties(many: Iterable[RecipientJson] | None) -> tuple[Address, ...]:
    return tuple(party for party in map(_party, many or ()) if party is not None)


def _perhaps(text: str | None) -> datetime | None:
    """A time that no message is given up for."""
    try:
        return _moment("", text)
    except BadItem:
        return None


def _moment(item: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        known = datetime.fromisoformat(text)
        return known.astimezone(UTC) if known.tzinfo else known.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadItem(item, f"The message has a date that cannot be read: {text[:40]!r}.") from None
