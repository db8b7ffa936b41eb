"""Addresses to people: who is concerned by a mail, and whether it is kept. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from sync.exclusions import Exclusions
from sync.keys import fold
from sync.model import Address, Direction, Envelope, Person, Relation
from sync.policy import Policy

Reason = Literal["kept", "draft", "folder", "no address", "only internal", "excluded", "no contact"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a mail is kept, why, and whose it is. Nobody stands beside a mail that is not kept."""

    keep: bool
    reason: Reason
    direction: Direction = "in"
    relations: tuple[Relation, ...] = ()


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


def set_aside(envelope: Envelope, skipped_folders: Collection[str]) -> Reason | None:
    """Why a mail is not even looked at, or None."""
    if envelope.folder in skipped_folders:
        return "folder"
    if envelope.draft:
        return "draft"
    return None


def decide(
    envelope: Envelope, own: Collection[str], people: Mapping[str, tuple[Person, ...]], policy: Policy
) -> Decision:
    """Keep a mail if at least one address outside the firm that is not excluded is a contact's (E1, E9, F1, F3).

    `own` are the mailbox's folded addresses, `people` whose the folded addresses on the mail are. An excluded address
    is as if it did not stand on the mail: its contact gets no relation from it.
    """
    roles = correspondents(envelope)
    if not roles:
        return Decision(False, "no address")
    domains = policy.matching.internal_domains

    def internal(address: str) -> bool:
        if address in own or address.rpartition("@")[2] in domains:
            return True
        return any(person.kind == "user" for person in people.get(address, ()))

    outside = {address for _, address in roles if not internal(address)}
    if not outside:
        return Decision(False, "only internal")
    exclusions = _exclusions(policy.matching.exclusions)
    excluded = {address for address in outside if exclusions.why(address, envelope.received)}
    if excluded == outside:
        return Decision(False, "excluded")
    relations: dict[str, Relation] = {}
    for role, address in roles:
        for person in people.get(address, ()) if address not in excluded else ():
            relations.setdefault(person.key, Relation(person, role, address))
    if not any(person.kind == "contact" for one in outside - excluded for person in people.get(one, ())):
        return Decision(False, "no contact")
    author = fold(envelope.author.address) if envelope.author else ""
    direction: Direction = "out" if author and internal(author) else "in"
    return Decision(True, "kept", direction, tuple(relations.values()))


@lru_cache(8)
def _exclusions(patterns: tuple[str, ...]) -> Exclusions:
    return Exclusions.of(patterns)
