"""What the admin API answers about runs, their items, and what of them is tried again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from sync.model import RetryOutcome, Stage
from sync.web.asked import Body
from sync.web.shapes import Shape

YEARS = range(2000, 2100)


def _of_our_time(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError("it lies outside of the years 2000 to 2099")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_time)]


class RunLine(Shape):
    """One run that did something or failed."""

    id: str
    mailbox: str = Field(description="The id of its mailbox; of a job of several, all of them with commas between.")
    stream: str = Field(description="What was worked: mail, mail-backfill, mail-history; of a job given up its queue.")
    reason: str = Field(description="Why it ran.")
    started: datetime
    ended: datetime
    seen: int
    kept: int
    errors: int = Field(description="Items that failed.")
    bodies: int
    skipped: dict[str, int] = Field(description="Mails that were not kept, by the reason.")
    failed: bool = Field(description="Whether it counts as an error: as a whole, or by one of its items.")
    sentence: str = Field(description="Why it failed as a whole; empty where it did not.")
    stage: Stage = Field(description="Where the failure came from.")
    retried: datetime | None = Field(description="When somebody last had it done again.")


class RunPage(Shape):
    """Runs, newest first."""

    items: list[RunLine]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")


class RunItemShape(Shape):
    """What a run did to one item, and why."""

    number: int = Field(description="Names it in its run.")
    name: str = Field(description="The id of a message, folder or attachment.")
    outcome: str = Field(description="kept or error.")
    reason: str
    record: str = Field(description="The key under which the CRM has it; empty where it has not.")
    stage: Stage = Field(description="Where an error came from.")
    retried: datetime | None = Field(description="When it was last asked for again.")
    retry: RetryOutcome = Field(description="What became of that.")
    retry_reason: str


class RunItemPage(Shape):
    """Items of a run by their numbers."""

    items: list[RunItemShape]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")


class ErrorsAsked(Body):
    """Which errors are to be done again."""

    days: int = Field(30, ge=1, le=30, description="Of so many days back.")
    after: str = Field("", max_length=400, description="`next` of the answer before; empty for the beginning.")


class RefusalShape(Shape):
    """An error for which nothing can be done."""

    run: str
    number: int | None = Field(description="The item; null for the run as a whole.")
    reason: str


class RetryShape(Shape):
    """What is done again, as soon as a worker takes it up, and what cannot be."""

    queued: int
    refused: list[RefusalShape]
    next: str = Field(description="Pass it as `after` to go on with the rest; empty where all is asked for.")
