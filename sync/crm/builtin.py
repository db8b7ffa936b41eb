"""The CRM that comes with Accord: contacts, users and mails on Table Storage, with a timeline and a change feed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sync.crm.addresses import Addresses
from sync.crm.completion import Completion
from sync.crm.feed import Change, Feed
from sync.crm.lines import File
from sync.crm.mails import Mails
from sync.crm.people import SLICE, Contact, ImportReport, People, Progress
from sync.crm.purge import Purge
from sync.crm.views import Mail, TimelineEntry, Views
from sync.keys import Keys
from sync.model import Attachment, Kept, Known, MailRecord, Person
from sync.ports import Blobs, Clock, Tables


class Builtin:
    """The built-in CRM behind `ports.Crm`, and what its REST API reads. One object a worker, shared by its threads.

    Of a file of contacts it holds `slice_rows` rows at once.
    """

    def __init__(self, tables: Tables, blobs: Blobs, keys: Keys, clock: Clock, slice_rows: int = SLICE) -> None:
        self._feed = Feed(tables, clock)
        self._addresses = Addresses(tables, blobs, keys, clock)
        self._people = People(tables, keys, self._feed, self._addresses, clock, slice_rows)
        self._mails = Mails(tables, blobs, keys, self._feed, clock)
        self._completion = Completion(tables, blobs, keys, self._feed)
        self._purge = Purge(tables, blobs, self._feed)
        self._views = Views(tables, blobs)

    # -- the port

    def people(self, addresses: Collection[str]) -> Mapping[str, tuple[Person, ...]]:
        """Whose these addresses are, by folded address; unknown ones are absent."""
        return self._addresses.people(addresses)

    def add_addresses(self, user: str, addresses: Sequence[str]) -> None:
        """Have these addresses be a user's too; unknown users and addresses that are his already change nothing."""
        self._people.add_addresses(user, addresses)

    def known(self, mailbox: str, keys: Collection[str]) -> Mapping[str, Known]:
        """What is known of these mail keys; unknown ones are absent."""
        return self._mails.known(mailbox, keys)

    def file(self, key: str, number: int, attachment: Attachment, pieces: Iterable[bytes]) -> str:
        """Store the bytes of a mail's attachment; returns the name of the file."""
        return self._mails.file(key, number, attachment, pieces)

    def keep(self, records: Sequence[MailRecord]) -> Kept:
        """Store mails with relations, timeline and feed; storing the same again changes nothing."""
        return self._mails.keep(records)

    def complete(self, record: MailRecord) -> bool:
        """Give a mail that stands the files that were missing when it was stored; says whether there were any."""
        return self._completion.complete(record)

    def purge(self, now: datetime, limit: int, going: Callable[[], bool] = lambda: True) -> int:
        """Remove up to `limit` mails that expired, with all that was stored of them, as long as it is `going`; returns
        how many. What was in the way of one of them rises when all others are done."""
        return self._purge.run(now, limit, going)

    def arrivals(self, cursor: str, limit: int) -> tuple[Sequence[str], int, str]:
        """Addresses that became contacts' since `cursor`; how many changes were read; the cursor behind. Raises
        BadItem."""
        return self._feed.arrivals(cursor, limit)

    def newest(self) -> str:
        """The cursor of now."""
        return self._feed.newest()

    # -- people

    def add_user(self, name: str, addresses: Sequence[str]) -> str:
        """Keep a user; returns his key, the same for the same first address. Raises BadItem."""
        return self._people.add_user(name, addresses)

    def save_contact(self, name: str, addresses: Sequence[str], key: str = "") -> str:
        """Keep a contact under `key`, or a new one; returns its key. Raises BadItem."""
        return self._people.save_contact(name, addresses, key)

    def import_contacts(self, file: File, progress: Progress | None = None) -> ImportReport:
        """Keep the contacts of a CSV file of any length; `progress` is told how many rows are done. Raises BadItem
        where it has no column of mail addresses."""
        return self._people.import_contacts(file, progress)

    def import_vcards(self, file: File, progress: Progress | None = None) -> ImportReport:
        """Keep the contacts of a file of vCards, likewise. Raises BadItem where it holds none."""
        return self._people.import_vcards(file, progress)

    def rebuild_addresses(self) -> int:
        """Make the list of address digests anew from the rows; returns its length."""
        return self._addresses.rebuild()

    # -- what is shown

    def contact(self, key: str) -> Contact | None:
        """One contact or user, or None."""
        return self._people.contact(key)

    def contacts(self, limit: int, after: str = "") -> tuple[list[Contact], str]:
        """Up to `limit` contacts, and where to go on ("" at the end). Raises BadItem."""
        return self._people.contacts(limit, after)

    def timeline(
        self, person: str, limit: int, after: str = "", viewer: str | None = None
    ) -> tuple[list[TimelineEntry], str]:
        """Up to `limit` entries of a person, newest first, and where to go on ("" at the end), as a user sees them
        (None: an admin). Raises BadItem."""
        return self._views.timeline(person, limit, after, viewer)

    def thread(
        self, key: str, limit: int, after: str = "", viewer: str | None = None
    ) -> tuple[list[TimelineEntry], str] | None:
        """The mails of this mail's conversation, newest first, and where to go on; None where there is no such mail.
        Raises BadItem."""
        return self._views.thread(key, limit, after, viewer)

    def mail(self, key: str, viewer: str | None = None) -> Mail | None:
        """A mail with its relations, copies and body, as a user sees it (None: an admin), or None."""
        return self._views.mail(key, viewer)

    def changes(self, cursor: str, limit: int) -> tuple[list[Change], str]:
        """Up to `limit` changes after `cursor` ("" is the beginning), and the cursor behind them. Raises BadItem."""
        return self._feed.changes(cursor, limit)
