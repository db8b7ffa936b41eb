"""Every choice of the admin, one frozen object. The defaults are the safe ones.

As a file it is JSON with a `version` (`Policy.dump`, `Policy.load`). Reading is strict: a number is no text, an unknown
name is a problem and never passed over, and all problems are told at once. `docs/policy.md` explains each choice.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.relativedelta import relativedelta
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from sync.errors import BadPolicy
from sync.keys import fold
from sync.mailclass import CLASSES, MailClass

# The model of the file. A release that changes what a field means, or takes one away, reads the older ones too.
VERSION = 1
TEXT = 1_000_000
DOMAINS = 500
PROBLEMS = 100

# The well-known folders of a mailbox but its root, those first that hold no mail anybody exchanged
# (graph/api/resources/mailfolder).
Folder = Literal[
    "drafts",
    "outbox",
    "junkemail",
    "deleteditems",
    "recoverableitemsdeletions",
    "conversationhistory",
    "conflicts",
    "localfailures",
    "serverfailures",
    "syncissues",
    "searchfolders",
    "archive",
    "clutter",
    "inbox",
    "scheduled",
    "sentitems",
]
FOLDERS: tuple[Folder, ...] = get_args(Folder)
SKIPPED_FOLDERS = FOLDERS[: FOLDERS.index("archive")]

_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)+")
_DOMAIN_LENGTH = 253  # RFC 1035, 2.3.4: 255 octets with the length of the first label and the root's
_SHOWN = 60


def _folders(given: tuple[Folder, ...]) -> tuple[Folder, ...]:
    return tuple(one for one in FOLDERS if one in given)


def _classes(given: tuple[MailClass, ...]) -> tuple[MailClass, ...]:
    return tuple(one for one in CLASSES if one in given)


def _domain(given: str) -> str:
    if len(given) > _DOMAIN_LENGTH or not _DOMAIN.fullmatch(given):
        raise ValueError("This is not a domain: write acme.com, not @acme.com")
    return fold(given)


def _domains(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(given)))


# The list of D1, the fixed ten minutes of D2, and continually (D3).
Frequency = Literal[
    "live",
    "10 minutes",
    "15 minutes",
    "30 minutes",
    "hourly",
    "2 hours",
    "3 hours",
    "4 hours",
    "6 hours",
    "12 hours",
    "daily",
    "weekly",
]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class _Section(BaseModel):
    """Lists are kept in one order and name nothing twice, so that what means the same is the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MailPolicy(_Section):
    """What of a mailbox's mail is looked at."""

    backfill_months: int | None = Field(default=6, ge=1, le=240, description="None has no start (N4).")
    backfill_order: Literal["newest", "oldest"] = Field(default="newest", description="G2.")
    skipped_folders: Annotated[tuple[Folder, ...], AfterValidator(_folders)] = SKIPPED_FOLDERS
    attachments: Literal["none", "names", "files"] = Field(default="files", description="What of files is kept.")
    attachment_mb: int = Field(default=25, ge=1, le=150, description="Larger files are kept by name only.")
    bcc: bool = Field(default=True, description="D14: mail that reached the mailbox by Bcc is kept like any other.")
    unmatched_days: int | None = Field(
        default=None, ge=1, le=3650, description="D13: how long mail that matches nobody is kept; None keeps none."
    )
    skipped_classes: Annotated[tuple[MailClass, ...], AfterValidator(_classes)] = Field(
        default=(), description="Classes of mail that is not kept though a contact stands on it; E9 keeps all."
    )

    def backfill_start(self, opened: datetime) -> datetime | None:
        """The oldest time received that the backfill looks at, counted back from the moment of the start."""
        if self.backfill_months is None:
            return None
        return opened - relativedelta(months=self.backfill_months)


class MatchingPolicy(_Section):
    """Whose mail is kept. Excluded addresses stand in lists of their own, with the moment each ended (F1, F4)."""

    internal_domains: Annotated[tuple[Annotated[str, AfterValidator(_domain)], ...], AfterValidator(_domains)] = Field(
        default=(), max_length=DOMAINS, description="F3: `acme.com`, never `@acme.com`."
    )


class SchedulePolicy(_Section):
    """How often a mailbox is looked at.

    Time, weekday and zone count where the frequency asks for them; otherwise they lie ready and do not matter, so that
    whoever tries another frequency for a day finds them again, and a policy written into a file is always whole.
    """

    frequency: Frequency = Field(
        default="live",
        description="D1, D2, D3. Live is every five minutes, until change notifications make it seconds.",
    )
    time: str = Field(default="06:00", description="D1, daily and weekly: HH:MM from which mailboxes have their turn.")
    weekday: Weekday = Field(default="monday", description="D1, weekly: on which day.")
    timezone: str = Field(
        default="UTC",
        max_length=80,
        description="D1, daily and weekly: the zone of that time, as Europe/Berlin; a name of Windows is read too.",
    )

    @field_validator("time")
    @classmethod
    def _wall_clock(cls, time: str) -> str:
        if not _TIME.fullmatch(time):
            raise ValueError(f"{time[:20]!r} is not a time of day: write it as 06:00, from 00:00 to 23:59")
        return time

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        known = iana_zone(name)
        if known is None:
            raise ValueError(f"{name!r} is not a time zone: write it as Europe/Berlin, or as Windows calls it")
        return known


def iana_zone(name: str) -> str | None:
    """The IANA name of a time zone, which may be given by its Windows name; None for what is no zone at all.

    Windows names are read by CLDR's table (unicode.org/cldr, windowsZones), which tzlocal carries.
    """
    try:
        # The machine's own zone is not the firm's, and another machine has another one.
        return None if name in ("localtime", "posixrules") else ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # Loaded here alone: most names are those of IANA.
        from tzlocal.windows_tz import win_tz

        return win_tz.get(name)


class LogPolicy(_Section):
    """What of Logs & Errors is kept."""

    runs_days: int = Field(default=90, ge=7, le=3650, description="T1: for how many days a run and its items are kept.")


class Policy(_Section):
    """All choices of the admin."""

    mail: MailPolicy = MailPolicy()
    matching: MatchingPolicy = MatchingPolicy()
    schedule: SchedulePolicy = SchedulePolicy()
    log: LogPolicy = LogPolicy()

    def document(self) -> dict[str, Any]:
        """The policy as JSON values: `version`, then a section after the other, every choice in it."""
        return {"version": VERSION, **self.model_dump(mode="json")}

    def dump(self) -> str:
        """The policy as a file: its document as indented JSON, always in the same order."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def of(document: object) -> Policy:
        """Read a document; raises BadPolicy with a sentence for each problem, the first PROBLEMS of them.

        Sections and choices that are left out have their defaults; `version` must be there, so that a file of another
        kind is not taken for one that chooses nothing.
        """
        try:
            return Policy.model_validate_json(json.dumps(_body(document)), strict=True)
        except ValidationError as refused:
            found = refused.errors(include_url=False, include_context=False, include_input=False)
        except (ValueError, TypeError, RecursionError):
            raise BadPolicy(["This is not a policy as JSON."]) from None
        problems = [_problem(one["type"], one["loc"], one["msg"]) for one in found[:PROBLEMS]]
        raise BadPolicy([*problems, *([f"And {len(found) - PROBLEMS} more."] if len(found) > PROBLEMS else [])])

    @staticmethod
    def load(text: str) -> Policy:
        """Read a file, at most TEXT characters; raises BadPolicy as `of` does, also for a name that stands twice."""
        if len(text) > TEXT:
            raise BadPolicy([f"A policy has at most {TEXT:,} characters."])
        twice: list[str] = []
        try:
            document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=lambda pairs: _once(pairs, twice))
        except (ValueError, RecursionError):
            raise BadPolicy(["This is not a policy as JSON."]) from None
        problems = [f"{_shown(name)} stands twice." for name in twice[:PROBLEMS]]
        try:
            policy = Policy.of(document)
        except BadPolicy as bad:
            raise BadPolicy([*problems, *bad.problems]) from None
        if problems:
            raise BadPolicy(problems)
        return policy


@dataclass(frozen=True, slots=True)
class Change:
    """One choice that differs, its values as JSON; of a list also what came and what went."""

    path: str
    before: Any
    after: Any
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def choices(policy: Policy) -> dict[str, Any]:
    """Every choice with its value as JSON, by its path (`mail.bcc`), in the order of the model."""
    sections = policy.model_dump(mode="json")
    return {f"{section}.{name}": value for section, names in sections.items() for name, value in names.items()}


def diff(before: Policy, after: Policy) -> tuple[Change, ...]:
    """What changes from one policy to another, in the order of the model; nothing where they say the same."""
    old = choices(before)
    return tuple(_change(path, old[path], value) for path, value in choices(after).items() if value != old[path])


def _change(path: str, before: Any, after: Any) -> Change:
    if not isinstance(before, list):
        return Change(path, before, after)
    added = tuple(one for one in after if one not in before)
    return Change(path, before, after, added, tuple(one for one in before if one not in after))


def _body(document: object) -> dict[str, Any]:
    """A document without its version. What a newer release wrote is not looked at further: nobody here knows it."""
    if not isinstance(document, dict):
        raise BadPolicy(["This is not a policy as JSON."])
    version = document.get("version")
    if version is None:
        raise BadPolicy([f"version is missing: this release reads {VERSION}."])
    if type(version) is not int or version != VERSION:
        raise BadPolicy([f"version is not one that this release knows: it reads {VERSION}."])
    return {name: value for name, value in document.items() if name != "version"}


def _once(pairs: Sequence[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    twice += [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
    return dict(pairs)


def _problem(kind: str, place: Sequence[int | str], message: str) -> str:
    path = "".join(f"[{one}]" if isinstance(one, int) else f".{_shown(one)}" for one in place).removeprefix(".")
    if kind == "json_invalid":  # halves of characters, or deeper than anything here
        return "This is not a policy as JSON."
    if kind == "too_long":
        return f"{path} has too many entries: {DOMAINS} are the most."
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(path, [*Policy.model_fields, *choices(Policy())], n=1)
        return f"{path} is no choice of this release" + (f"; did you mean {near[0]}?" if near else ".")
    text = message.removeprefix("Value error, ").removesuffix(".")
    if text.startswith("Input "):
        return f"{path} {text.removeprefix('Input ')}."
    return f"{path}: {text}."


def _shown(name: str) -> str:
    kept = "".join(letter if letter.isprintable() else "?" for letter in name[:_SHOWN])
    return kept if len(name) <= _SHOWN else f"{kept}..."
