"""Values with sensible defaults, to be overridden by what a test is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sync.keys import Keys
from sync.model import Address, Envelope, MailboxRow, Person

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEYS = Keys(b"a digest key for the tests")
CLIENT = Person("c" + "1" * 32, "contact", "Rosa Client")
COLLEAGUE = Person("u" + "2" * 32, "user", "Ada Colleague")


def an_address(address: str, name: str = "") -> Address:
    """A recipient."""
    return Address(name, address)


def an_envelope(**changes: Any) -> Envelope:
    """A mail from a client to Ada."""
    fields: dict[str, Any] = {
        "id": "AAMk1",
        "message_id": "<one@client.example>",
        "conversation": "thread",
        "subject": "Review",
        "sender": None,
        "author": an_address("rosa@client.example", "Rosa"),
        "to": (an_address("ada@firm.example"),),
        "cc": (),
        "bcc": (),
        "sent": NOON,
        "received": NOON,
        "folder": "inbox",
        "draft": False,
        "attachments": False,
    }
    return Envelope(**{**fields, **changes})


def a_mailbox(**changes: Any) -> MailboxRow:
    """Ada's mailbox."""
    fields: dict[str, Any] = {
        "id": KEYS.of("mailbox", "tenant", "ada@firm.example"),
        "connection": "tenant",
        "address": "ada@firm.example",
        "own": ("ada@firm.example",),
    }
    return MailboxRow(**{**fields, **changes})
