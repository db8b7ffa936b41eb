"""Every choice of the admin, one frozen object. The defaults are the safe ones."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.relativedelta import relativedelta
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sync.errors import BadItem
from sync.exclusions import check
from sync.mailclass import MailClass

# Names of well-known folders that hold no mail anybody exchanged (graph/api/resources/mailfolder).
SKIPPED_FOLDERS = (
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
)


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
    model_config = ConfigDict(frozen=True, extra="forbid")


class MailPolicy(_Section):
    """What of a mailbox's mail is looked at."""

    backfill_months: int | None = Field(default=6, ge=1, le=240, description="None has no start (N4).")
    backfill_order: Literal["newest", "oldest"] = Field(default="newest", description="G2.")
    skipped_folders: tuple[str, ...] = SKIPPED_FOLDERS
    attachments: Literal["none", "names", "files"] = Field(default="files", description="What of files is kept.")
    attachment_mb: int = Field(default=25, ge=1, le=150, description="Larger files are kept by name only.")
    bcc: bool = Field(default=True, description="D14: mail that reached the mailbox by Bcc is kept like any other.")
    unmatched_days: int | None = Field(
        default=None, ge=1, le=3650, description="D13: how long mail that matches nobody is kept; None keeps none."
    )
    skipped_classes: tuple[MailClass, ...] = Field(
        default=(), description="Classes of mail that is not kept though a contact stands on it; E9 keeps all."
    )

    def backfill_start(self, opened: datetime) -> datetime | None:
        """The oldest time received that the backfill looks at, counted back from the moment of the start."""
        if self.backfill_months is None:
            return None
        return opened - relativedelta(months=self.backfill_months)


class MatchingPolicy(_Section):
    """Whose mail is kept."""

    internal_domains: tuple[str, ...] = Field(default=(), description="F3: `acme.com`, never `@acme.com`.")
    exclusions: tuple[str, ...] = Field(default=(), description="F1: addresses left out, `*` for any characters.")

    @field_validator("internal_domains")
    @classmethod
    def _plain_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            if not domain or "@" in domain or "." not in domain or domain != domain.strip():
                raise ValueError(f"{domain!r} is not a domain: write acme.com, not @acme.com")
        return tuple(domain.lower() for domain in domains)

    @field_validator("exclusions")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                check(pattern)
            except BadItem as bad:
                raise ValueError(f"{pattern[:80]!r} cannot be an exclusion. {bad.sentence}") from None
        return patterns


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


class Policy(_Section):
    """All choices of the admin."""

    mail: MailPolicy = MailPolicy()
    matching: MatchingPolicy = MatchingPolicy()
    schedule: SchedulePolicy = SchedulePolicy()
