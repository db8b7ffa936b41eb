"""Folders and messages by what a URL calls them, with Exchange's refusals where there is none."""

from __future__ import annotations

from dev.tenant.exchange import Refusal
from dev.tenant.folders import Folder
from dev.tenant.ids import well_formed
from dev.tenant.mail import Message
from dev.tenant.mailbox import Mailbox


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
