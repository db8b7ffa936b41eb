"""Every choice of the admin, one frozen object. The defaults are the safe ones."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

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
    """How often a mailbox is asked for changes."""

    minutes: int = Field(default=5, ge=1, le=1440)


class LogPolicy(_Section):
    """What of Logs & Errors is kept."""

    runs_days: int = Field(default=90, ge=7, le=3650, description="For how many days a run and its items are kept.")


class Policy(_Section):
    """All choices of the admin."""

    mail: MailPolicy = MailPolicy()
    matching: MatchingPolicy = MatchingPolicy()
    schedule: SchedulePolicy = SchedulePolicy()
    log: LogPolicy = LogPolicy()
