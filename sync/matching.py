"""Addresses to people: who is concerned by a mail, and whether it is kept. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from sync.exclusions import Exclusion, Exclusions
from sync.keys import fold
from sync.model import Address, Direction, Envelope, Person, Relation
from sync.policy import Policy

Reason = Literal[
    "kept",
    "unmatched",
    "draft",
    "folder",
    "too old",
    "no address",
    "only internal",
    "excluded",
    "no contact",
    "bcc only",
]


@dataclass(frozen=True, slots=True)
class Rules:
    """All that decides about the mail of one mailbox at one moment.

    `own` are its folded addresses, `exclusions` the lists that count for it (the firm's, its own), `eyes` is for whom a
    relation is that only a Bcc tells of: the key of the CRM user whose mailbox it is, or what names no user.
    """

    policy: Policy
    own: Collection[str]
    now: datetime
    exclusions: tuple[Exclusions, ...] = ()
    eyes: str = ""

    @staticmethod
    def of(
        policy: Policy,
        own: Collection[str],
        now: datetime,
        lists: Iterable[Collection[Exclusion]] = (),
        eyes: str = "",
    ) -> Rules:
        """Rules with lists of exclusions, each read once and remembered."""
        return Rules(policy, own, now, tuple(_exclusions(one) for one in map(tuple, lists) if one), eyes)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an address on a mail is to the firm; `pattern` is the exclusion that leaves it out."""

    kind: Literal["own", "domain", "colleague", "excluded", "contact", "unknown"]
    pattern: str = ""

    @property
    def internal(self) -> bool:
        """Whether it belongs to the firm (F3)."""
        return self.kind in ("own", "domain", "colleague")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a mail is kept, why, and whose it is. Nobody stands beside a mail that is not kept; one that matches
    nobody is kept until `expires` (D13)."""

    keep: bool
    reason: Reason
    direction: Direction = "in"
    relations: tuple[Relation, ...] = ()
    expires: datetime | None = None


_OWN, _DOMAIN, _COLLEAGUE = Standing("own"), Standing("domain"), Standing("colleague")
_CONTACT, _UNKNOWN = Standing("contact"), Standing("unknown")


def usable(address: str) -> bool:
    """Whether this is a mail address at all: a legacy Exchange name (`/O=...`) or an empty one is not."""
    return "@" in address and not address.startswith("/")


def correspondents(envelope: Envelope) -> list[tuple[str, str]]:
    """Role and folded address of everybody on a mail, each pair once."""
    found: dict[tuple[str, str], None] = {}

    def note(role: str, people: Collection[Address]) -> None:
        for one in people:
            if usable(one.address):
                found[(role, fold(one.address))] = None

    note("from", [envelope.author] if envelope.author else ())
    note("sender", [envelope.sender] if envelope.sender and envelope.sender != envelope.author else ())
    note("to", envelope.to)
    note("cc", envelope.cc)
    note("bcc", envelope.bcc)
    return list(found)


def set_aside(envelope: Envelope, skipped_folders: Collection[str], oldest: datetime | None = None) -> Reason | None:
    """Why a mail is not even looked at, or None."""
    if envelope.folder in skipped_folders:
        return "folder"
    if envelope.draft:
        return "draft"
    if oldest is not None and envelope.received is not None and envelope.received < oldest:
        return "too old"
    return None


def standing(address: str, at: datetime | None, people: Mapping[str, tuple[Person, ...]], rules: Rules) -> Standing:
    """What a folded address on a mail of the time `at` is to the firm; `people` are whose the addresses are."""
    if address in rules.own:
        return _OWN
    if address.rpartition("@")[2] in rules.policy.matching.internal_domains:
        return _DOMAIN
    known = people.get(address, ())
    if any(person.kind == "user" for person in known):
        return _COLLEAGUE
    for one in rules.exclusions:
        pattern = one.why(address, at)
        if pattern is not None:
            return Standing("excluded", pattern)
    return _CONTACT if known else _UNKNOWN


def decide(envelope: Envelope, people: Mapping[str, tuple[Person, ...]], rules: Rules) -> Decision:
    """Keep a mail if at least one address outside the firm that is not excluded is a contact's (E1, E9, F1 to F3).

    An excluded address is as if it did not stand on the mail: its contact gets no relation from it. Mail that has
    outside addresses and no contact is kept for a time where the policy says so (D13). Mail that reached the mailbox by
    Bcc is left out where the policy says so (D14); so is then what came through a distribution list, which looks alike.
    """
    roles = correspondents(envelope)
    if not roles:
        return Decision(False, "no address")
    at = envelope.received or envelope.sent
    known = {address: standing(address, at, people, rules) for _, address in roles}
    outside = [one for one in known.values() if not one.internal]
    if not outside:
        return Decision(False, "only internal")
    if all(one.kind == "excluded" for one in outside):
        return Decision(False, "excluded")
    expires = None
    if _CONTACT not in outside:
        expires = _expiry(at, rules)
        if expires is None:
            return Decision(False, "no contact")
    if not rules.policy.mail.bcc and only_by_bcc(roles, rules.own):
        return Decision(False, "bcc only")
    relations: dict[str, Relation] = {}
    for role, address in roles:
        for person in people.get(address, ()) if known[address].kind != "excluded" else ():
            only = rules.eyes if role == "bcc" else ""
            relations.setdefault(person.key, Relation(person, role, address, only))
    author = fold(envelope.author.address) if envelope.author else ""
    direction: Direction = "out" if author in known and known[author].internal else "in"
    return Decision(True, "unmatched" if expires else "kept", direction, tuple(relations.values()), expires)


def only_by_bcc(roles: Iterable[tuple[str, str]], own: Collection[str]) -> bool:
    """Whether a mail shows none of the mailbox's own addresses: a recipient's copy never tells its Bcc (D14)."""
    return bool(own) and not any(address in own for _, address in roles)


def _expiry(at: datetime | None, rules: Rules) -> datetime | None:
    """Until when an unmatched mail is kept, by its own age: what is over is not kept, so that it never comes back."""
    days = rules.policy.mail.unmatched_days
    if days is None or at is None:
        return None
    try:
        expires = at + timedelta(days=days)
    except OverflowError:  # dated at the end of time
        return None
    return expires if expires > rules.now else None


@lru_cache(64)
def _exclusions(patterns: tuple[Exclusion, ...]) -> Exclusions:
    return Exclusions.of(patterns)
