"""What a user expects to find in the CRM: plain sets, and nothing of how it comes about.

A mail of a mailbox in scope that lies in a folder where people keep mail must stand beside every contact who was one
when it came, and a day later beside whoever became one since. What once stood there stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

ROOTS = ("inbox", "archive", "sentitems")
LEFT_OUT = ("deleteditems", "junkemail", "drafts")


@dataclass(frozen=True, slots=True)
class Copy:
    """A mail in one mailbox. `people` are the contacts that must stand beside it, `perhaps` its other addresses. What
    is `old` came before its mailbox was seen for the first time."""

    mailbox: str
    id: str
    message_id: str
    folder: str
    people: frozenset[str]
    addresses: frozenset[str]
    draft: bool = False
    old: bool = False


@dataclass(slots=True)
class Firm:
    """Contacts by address, folders with their parents, the copies of mails, and what must and may be in the CRM.

    `shown` are mails with a mailbox that must have shown them, `passed` the mailboxes whose old mail was read.
    """

    contacts: dict[str, str] = field(default_factory=dict)
    folders: dict[tuple[str, str], str] = field(default_factory=dict)
    copies: dict[tuple[str, str], Copy] = field(default_factory=dict)
    must: dict[str, set[str]] = field(default_factory=dict)
    may: dict[str, set[str]] = field(default_factory=dict)
    shown: set[tuple[str, str]] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)

    def concerned(self, addresses: Iterable[str]) -> frozenset[str]:
        """Contacts with one of these addresses, as of now."""
        return frozenset(self.contacts[one] for one in addresses if one in self.contacts)

    def is_kept(self, mailbox: str, folder: str) -> bool:
        """Whether people keep mail in a folder: neither it nor one above it is left out."""
        while folder not in ROOTS + LEFT_OUT:
            folder = self.folders[(mailbox, folder)]
        return folder in ROOTS

    def put(self, copy: Copy) -> None:
        """A copy lies in a folder from now on."""
        self.copies[(copy.mailbox, copy.id)] = copy
        self._perhaps(copy)

    def moved(self, copy: Copy, folder: str) -> None:
        """It lies elsewhere from now on."""
        self.put(replace(copy, folder=folder))

    def gone(self, copy: Copy) -> None:
        """It was purged."""
        del self.copies[(copy.mailbox, copy.id)]

    def learned(self) -> None:
        """A folder moved, or a contact has an address more: what lies where it lies may be kept from now on."""
        for copy in self.copies.values():
            self._perhaps(copy)

    def settled(self, scope: Collection[str]) -> None:
        """All that lies where people keep mail has been seen."""
        for copy in self.copies.values():
            if copy.mailbox in scope and self._counts(copy) and copy.people and not self._was_away(copy):
                self.must.setdefault(copy.message_id, set()).update(copy.people)
                self.shown.add((copy.message_id, copy.mailbox))
        self.passed.update(scope)

    def all_told(self, scope: Collection[str]) -> None:
        """A day later nothing is excused: later contacts have their mail, and so has who is on old mail put back."""
        for key, copy in self.copies.items():
            if copy.mailbox in scope:
                self.copies[key] = replace(copy, people=self.concerned(copy.addresses), old=False)

    def wrong(self, found: Mapping[str, set[str]], sightings: set[tuple[str, str]]) -> list[str]:
        """What differs from people beside mails as found in the CRM."""
        said = []
        for mail, people in self.must.items():
            if not people <= found.get(mail, set()):
                said.append(f"{mail} stands beside {sorted(found.get(mail, ()))}, not {sorted(people)}.")
        for mail, people in found.items():
            if not people <= self.may.get(mail, set()):
                said.append(
                    f"{mail} stands beside {sorted(people)}, and may only beside {sorted(self.may.get(mail, ()))}."
                )
        said += [f"{mail} was never noted in {mailbox}." for mail, mailbox in sorted(self.shown - sightings)]
        return said

    def _was_away(self, copy: Copy) -> bool:
        """Mail from before the start that was taken out of a folder that is left out when the backfill had passed. A
        delta tells of newer mail alone; the pass by date finds it within a day."""
        return copy.old and copy.mailbox in self.passed and (copy.message_id, copy.mailbox) not in self.shown

    def _counts(self, copy: Copy) -> bool:
        return not copy.draft and self.is_kept(copy.mailbox, copy.folder)

    def _perhaps(self, copy: Copy) -> None:
        people = self.concerned(copy.addresses) | copy.people
        if self._counts(copy) and people:
            self.may.setdefault(copy.message_id, set()).update(people)
