"""What the REST API answers, field by field: the descriptions are those of /api/openapi.json."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Read from the CRM's own values by name."""

    model_config = ConfigDict(from_attributes=True)


class Health(Shape):
    """The application runs."""

    status: Literal["ok"] = Field(description="Always ok: whoever is not answers nothing.")


class AddressShape(Shape):
    """A name and a mail address as a mail shows them; either may be empty."""

    name: str
    address: str


class ContactShape(Shape):
    """A contact."""

    key: str = Field(description="Names the contact in this API.")
    name: str
    addresses: list[str] = Field(description="In lower case, the main one first.")
    changed: datetime = Field(description="When the contact was last saved.")


class ContactPage(Shape):
    """Contacts in the order of their keys."""

    items: list[ContactShape]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")


class TimelineEntryShape(Shape):
    """A line of a timeline."""

    key: str = Field(description="The record it leads to, for example a mail.")
    type: Literal["mail"]
    time: datetime | None = Field(description="When it was sent, or where that is unknown, received.")
    subject: str = Field(description="At most its first 400 characters.")
    author: AddressShape
    direction: Literal["in", "out"] = Field(description="Out, if one of the firm wrote it.")
    mailbox: str = Field(description="The opaque id of a mailbox that has it; empty where `viewer` is given.")


class TimelinePage(Shape):
    """A timeline, of a person or a conversation, newest first."""

    items: list[TimelineEntryShape]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")


class RelatedShape(Shape):
    """A person beside a mail."""

    key: str
    kind: Literal["contact", "user"]
    name: str
    role: str = Field(description="Where his address stands: from, sender, to, cc or bcc.")
    address: str
    only: list[str] = Field(description="Known from a Bcc alone: the users who may see him. Empty for everybody.")


class SightingShape(Shape):
    """A mailbox's copy of a mail."""

    mailbox: str = Field(description="The opaque id of the mailbox.")
    item: str = Field(description="Microsoft Graph's immutable id of the message.")
    folder: str = Field(description="Microsoft Graph's id of the folder it was seen in first.")
    received: datetime | None
    subject: str


class AttachmentShape(Shape):
    """What a mail says of a file that hangs on it."""

    name: str
    content_type: str
    size: int = Field(description="In bytes, as the mail says.")
    inline: bool = Field(description="Shown within the body, which names it by `cid:`.")
    content_id: str
    kind: Literal["file", "item", "reference"] = Field(description="A file, a mail in the mail, or a link elsewhere.")


class FileShape(Shape):
    """An attachment as it is kept."""

    attachment: AttachmentShape
    file: str = Field(description="Names the stored bytes; empty where there are none.")
    why: str = Field(description="Why there are no bytes.")


class MailShape(Shape):
    """A mail with everything beside it."""

    key: str
    message_id: str = Field(description="The Message-ID header.")
    conversation: str
    subject: str
    author: AddressShape | None = Field(description="The From header.")
    sender: AddressShape | None
    to: list[AddressShape]
    cc: list[AddressShape]
    bcc: list[AddressShape] = Field(
        description="Known only where the sender's own copy was seen, and told to admins and its owner."
    )
    sent: datetime | None
    received: datetime | None = Field(description="Its first arrival in any mailbox.")
    direction: Literal["in", "out"]
    attachments: bool
    html: str = Field(description="The body as safe HTML; empty for a plain-text mail.")
    text: str = Field(description="The body as plain text.")
    files: list[FileShape] = Field(description="What hangs on it.")
    first: str = Field(description="The other mail with the same Message-ID and another subject, if there is one.")
    relations: list[RelatedShape]
    sightings: list[SightingShape] = Field(description="Empty where `viewer` is given.")
    expires: datetime | None = Field(description="When it is removed, if it matches nobody until then.")


class ChangeShape(Shape):
    """A record was created, changed or removed."""

    key: str
    type: Literal["mail", "contact", "user"]
    number: int = Field(description="Counts the changes of its bucket, without gaps.")
    bucket: str = Field(description="One of sixteen; changes of one bucket come in order.")
    time: datetime
    removed: bool = Field(description="The record is gone, with all that belonged to it: drop it.")


class ChangePage(Shape):
    """Changes since a cursor. A record changed twice may come twice; read it to see how it stands."""

    items: list[ChangeShape]
    cursor: str = Field(description="Pass it next time, whether there were changes or not.")


class ImportErrorShape(Shape):
    """A row or cell that could not be used."""

    line: int = Field(description="The line of the file the row begins in, counted from 1.")
    sentence: str


class ImportShape(Shape):
    """What became of a file."""

    imported: int = Field(description="Rows that made a new contact or changed one.")
    unchanged: int = Field(description="Rows that held nothing new.")
    errors: list[ImportErrorShape] = Field(description="At most the first 1,000.")
    error_count: int = Field(description="All errors, also those that are not told.")
