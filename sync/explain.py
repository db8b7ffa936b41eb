"""Why a message was kept or not: decided again, with what each address on it is to the firm.

Nothing is remembered of mail that nobody keeps, so the answer goes by today's rules and today's contacts. It shows
addresses: it is for the admin who asked, never for a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sync import matching
from sync.capture import left_out
from sync.errors import NeedsPerson, Retry
from sync.mailclass import Classified, classify
from sync.matching import Rules, Standing
from sync.model import Body, Envelope, MailboxRow, Person
from sync.page import identity
from sync.work import rules_of
from sync.world import World

SENTENCES: Mapping[str, str] = {
    "kept": "It is kept: an address outside the firm is a contact's.",
    "unmatched": "It is kept for a time: no address outside the firm is a contact's.",
    "draft": "It is a draft: nobody has sent it.",
    "folder": "It lies in a folder that does not count.",
    "too old": "It is older than mail is looked at.",
    "no address": "No mail address stands on it.",
    "only internal": "Only addresses of the firm stand on it.",
    "excluded": "Every address outside the firm is excluded.",
    "no contact": "No address outside the firm is a contact's.",
    "bcc only": "It reached the mailbox by Bcc or through a distribution list, and such mail is left out.",
    "class": "It is left out as a {name}: {reason}.",
    "missing": "The mailbox has no such message any more.",
}
_STANDINGS: Mapping[str, str] = {
    "own": "an address of this mailbox",
    "domain": "of an internal domain",
    "colleague": "a user of the CRM",
    "excluded": "excluded by {pattern}",
    "contact": "a contact",
    "unknown": "nobody known",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One address on a message: in which role, and what it is to the firm."""

    role: str
    address: str
    standing: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on a message and its reason. `record` is the key under which the CRM has it, or would have it;
    `stored` says whether it does."""

    keep: bool
    reason: str
    sentence: str
    lines: tuple[Line, ...] = ()
    record: str = ""
    stored: bool = False


def explain(world: World, row: MailboxRow, message: str) -> Explanation:
    """Decide again on a message of a mailbox, by Graph's id or by its message id in angle brackets.

    Raises what Microsoft Graph's refusal means, and BadItem for an id that is none.
    """
    box = world.connect(row)
    envelope = box.message(message)
    if envelope is None:
        return Explanation(False, "missing", SENTENCES["missing"])
    rules = rules_of(world, row)
    addresses = {address for _, address in matching.correspondents(envelope)}
    people = world.crm.people(addresses) if addresses else {}
    key = identity(world.keys, row.id, envelope)
    known = world.crm.known(row.id, [key]).get(key)
    keep, reason, sentence = _reason(world, row, envelope, people, rules)
    if keep and rules.policy.mail.skipped_classes:
        sort = _class(dict(box.bodies([envelope.id])).get(envelope.id), envelope)
        if sort is not None and sort.name in rules.policy.mail.skipped_classes:
            sentence = SENTENCES["class"].format(name=sort.name, reason=sort.reason)
            keep, reason = False, sort.name
    stored = known is not None and known.record
    return Explanation(keep, reason, sentence, _lines(envelope, people, rules), key, stored)


def _reason(
    world: World, row: MailboxRow, envelope: Envelope, people: Mapping[str, tuple[Person, ...]], rules: Rules
) -> tuple[bool, str, str]:
    start, places = world.state.look(row.id, "mail")
    skipped = left_out(start, places) if start else set()
    oldest = rules.policy.mail.backfill_start(datetime.fromisoformat(start["opened"])) if start else None
    aside = matching.set_aside(envelope, skipped, oldest)
    if aside is not None:
        return False, aside, SENTENCES[aside]
    decision = matching.decide(envelope, people, rules)
    return decision.keep, decision.reason, SENTENCES[decision.reason]


def _class(body: object, envelope: Envelope) -> Classified | None:
    if isinstance(body, Retry | NeedsPerson):
        raise body
    if not isinstance(body, Body):
        return None
    return classify(body.headers, body.type, envelope.author.address if envelope.author else "")


def _lines(envelope: Envelope, people: Mapping[str, tuple[Person, ...]], rules: Rules) -> tuple[Line, ...]:
    at = envelope.received or envelope.sent

    def said(standing: Standing) -> str:
        return _STANDINGS[standing.kind].format(pattern=standing.pattern)

    return tuple(
        Line(role, address, said(matching.standing(address, at, people, rules)))
        for role, address in matching.correspondents(envelope)
    )
