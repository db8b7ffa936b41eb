"""Transport: what was accepted for sending is recorded, put into Sent Items and delivered inside the tenant.

A 202 means accepted only. What cannot be delivered comes back as a message to the sender's inbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dev.firm import MailFile, Party
from dev.tenant.compose import composed
from dev.tenant.exchange import Json, Refusal

if TYPE_CHECKING:
    from dev.tenant.state import Account, Tenant


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that was accepted. `mailbox` is whose it was, `author` what its From says; the others are addresses.
    `message_id` is the internetMessageId it went out with, `bounced` whom it did not reach."""

    at: datetime
    mailbox: str
    author: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    message_id: str
    bounced: tuple[str, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody it was sent to."""
        return (*self.to, *self.cc, *self.bcc)


@dataclass(frozen=True, slots=True)
class _Waiting:
    due: datetime
    sender: str
    mail: MailFile
    draft: str
    save: bool
    extra: Json
    bounced: tuple[str, ...]


class Transport:
    """Takes mail for the tenant's users and brings it where it belongs, at once or when its time has come."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._waiting: list[_Waiting] = []

    def accept(
        self, account: Account, mail: MailFile, *, draft: str = "", save: bool = True, extra: Json | None = None
    ) -> None:
        """Take a mail; Refusal where it cannot be sent at all. `draft` is the immutable id of what becomes the copy
        in Sent Items."""
        people = (*mail.to, *mail.cc, *mail.bcc)
        wrong = [one for one in people if not _usable(one.address)]
        if not people or wrong:
            named = f" {wrong[0].address!r} is none." if wrong else ""
            raise Refusal(400, "ErrorInvalidRecipients", f"A mail needs at least one recipient and only such.{named}")
        switches, now = self._tenant.switches, self._tenant.now()
        mail = self._signed(account, mail, now)
        if draft and switches.sent_gets_new_message_id:
            fresh = self._tenant.ids.hex(16, "sent", str(self._tenant.numbered()))
            mail = replace(mail, message_id=f"<{fresh}@{account.address.rpartition('@')[2]}>")
        bounced = tuple(one.address for one in people if self._unreachable(one.address, len(people)))
        lists = (tuple(one.address for one in parties) for parties in (mail.to, mail.cc, mail.bcc))
        author = mail.author.address if mail.author else account.address
        sent = Sent(now, account.address, author, *lists, mail.subject, mail.message_id, bounced)
        self._tenant.outbox.append(sent)
        due = now + timedelta(seconds=switches.send_seconds)
        one = _Waiting(due, account.id, mail, draft, save, dict(extra or {}), bounced)
        self._waiting.append(self._to_outbox(account, one) if switches.send_seconds else one)
        self.settle()

    def settle(self) -> None:
        """Deliver what is due."""
        if not self._waiting:
            return
        now = self._tenant.now()
        due = [one for one in self._waiting if one.due <= now]
        self._waiting = [one for one in self._waiting if one.due > now]
        for one in due:
            self._deliver(one, now)

    def _signed(self, account: Account, mail: MailFile, now: datetime) -> MailFile:
        own = Party(account.name, account.address)
        author = mail.author or own
        other = author.address.lower()
        if other not in account.addresses and (account.id, other) not in self._tenant.send_as:
            raise Refusal(403, "ErrorSendAsDenied", f"{account.address} has no right to send as {author.address}.")
        return replace(mail, author=author, sender=mail.sender or author, sent=now, received=now, raw=b"")

    def _to_outbox(self, account: Account, one: _Waiting) -> _Waiting:
        if one.draft and account.mailbox is not None:
            account.mailbox.move(one.draft, "outbox")
        return one

    def _deliver(self, one: _Waiting, now: datetime) -> None:
        mail = replace(one.mail, sent=now, received=now)
        sender = self._tenant.find(one.sender)
        if sender is not None and sender.mailbox is not None:
            self._keep(sender, mail, one)
        arriving = replace(mail, bcc=(), folder="inbox")
        for account in self._readers(mail, one.bounced):
            if account.mailbox is not None:
                account.mailbox.deliver(arriving)
        if one.bounced and sender is not None and sender.mailbox is not None:
            sender.mailbox.deliver(_undeliverable(sender, mail, one.bounced, now))

    def _keep(self, sender: Account, mail: MailFile, one: _Waiting) -> None:
        box, copy = sender.mailbox, replace(mail, folder="sentitems")
        if box is None:
            return
        known = one.draft in box.messages
        if known and not self._tenant.switches.sent_gets_new_id:
            box.edit(one.draft, copy, draft=False, read=True)
            box.move(one.draft, "sentitems")
            return
        more: dict[str, Any] = {"extra": one.extra}
        if known:
            draft = box.message(one.draft)
            more = {"extra": dict(draft.extra), "extended": dict(draft.extended)}
            box.purge(one.draft)
        if one.save:
            box.place(copy, "sentitems", draft=False, read=True, **more)

    def _readers(self, mail: MailFile, bounced: tuple[str, ...]) -> Iterator[Account]:
        seen: set[str] = set()
        for one in (*mail.to, *mail.cc, *mail.bcc):
            account = None if one.address in bounced else self._tenant.find(one.address)
            if account is not None and account.id not in seen:
                seen.add(account.id)
                yield account

    def _unreachable(self, address: str, recipients: int) -> bool:
        if recipients > self._tenant.switches.most_recipients:
            return True
        domain = address.rpartition("@")[2].lower()
        account = self._tenant.find(address)
        return domain in self._tenant.sign_in.app.domains and (account is None or account.mailbox is None)


def _undeliverable(sender: Account, mail: MailFile, bounced: tuple[str, ...], now: datetime) -> MailFile:
    domain = sender.address.rpartition("@")[2]
    shown = ", ".join(bounced[:5])
    return composed(
        author=Party("Mail delivery", f"postmaster@{domain}"),
        to=(Party(sender.name, sender.address),),
        subject=f"Undeliverable: {mail.subject}",
        body=f"<p>Your message did not reach {len(bounced)} of its recipients: {shown}.</p>",
        message_id=f"<undeliverable.{mail.message_id.strip('<>')}>",
        received=now,
        sent=now,
        headers=(
            ("Auto-Submitted", "auto-replied"),
            ("X-MS-Exchange-Message-Is-Ndr", ""),
            ("In-Reply-To", mail.message_id),
        ),
    )


def _usable(address: str) -> bool:
    name, at, domain = address.rpartition("@")
    return bool(name and at and domain) and not any(mark.isspace() for mark in address)
