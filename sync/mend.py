"""Error items, done again: each message is fetched by its id, decided on by today's rules, and stored (T4).

Works under the lease of the history stream. Whatever becomes of an item is noted beside it before its row is dropped:
whoever dies in between does it again, and storing a mail again changes nothing. A message that is refused for a moment
lets the others have their turn; the job waits for it as for any page, and gives it up after as many tries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sync.errors import (
    BadItem,
    ForeignLink,
    Gone,
    NeedsPerson,
    Reset,
    Retry,
    SlotTimeout,
    StorageUnavailable,
    Throttled,
    TooLarge,
)
from sync.explain import SENTENCES
from sync.model import MailPage, RetryOutcome, RunItem
from sync.page import capture, longer
from sync.retries import Asked
from sync.work import PATIENT, Work

# Items of one job: the rest goes on with the next.
SLICE = 20
FOLDER = "folder "


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item, why, and its record where it has one."""

    outcome: RetryOutcome
    reason: str = ""
    record: str = ""


def mend(work: Work, asked: Sequence[Asked], skipped: Collection[str], oldest: datetime | None) -> None:
    """Do these items again, and note what became of them; raises the longest wait that Microsoft imposed on one."""
    work.retrying = True
    wait: Retry | None = None
    for name, same in groupby(asked, key=lambda one: one.name):
        if work.late():
            break
        try:
            outcome = _folder(work, name) if name.startswith(FOLDER) else _message(work, name, skipped, oldest)
        except (Throttled, SlotTimeout, StorageUnavailable):
            raise
        except Retry as why:
            wait = why if wait is None or why.after > wait.after else wait
        else:
            _note(work, list(same), outcome)
    work.retrying = False
    if wait is not None:
        raise wait


def _note(work: Work, asked: Sequence[Asked], outcome: Outcome) -> None:
    # Whoever lost the lease meanwhile knows less than his successor.
    work.hold()
    log, now = work.world.log, work.world.clock()
    for one in asked:
        log.mark(one.run, [one.number], now, outcome.outcome, outcome.reason, outcome.record)
    log.retries.drop(work.row.id, asked)


def _message(work: Work, message: str, skipped: Collection[str], oldest: datetime | None) -> Outcome:
    mark, items, counted = work.mark(message), len(work.tally.items), Counter(work.tally.skipped)
    tries = work.refused[mark]
    try:
        envelope = work.box.message(message)
        if envelope is None:
            return Outcome("gone", SENTENCES["missing"])
        capture(work, MailPage((envelope,)), skipped, oldest=oldest)
    except (Throttled, SlotTimeout, StorageUnavailable):
        raise
    except Retry as why:
        if work.refused[mark] > tries:
            raise
        # Refused before a body was asked for: not counted yet.
        work.refused[mark] += 1
        if work.refused[mark] <= PATIENT:
            raise longer(why, work.refused[mark]) from None
        return _failed(work, message, why.sentence)
    except (NeedsPerson, BadItem, Gone, Reset, ForeignLink, TooLarge) as why:
        return _failed(work, message, why.sentence)
    return _became(work.tally.items[items:], work.tally.skipped - counted)


def _failed(work: Work, name: str, sentence: str) -> Outcome:
    work.tally.met((), 1)
    work.tally.fail(name, sentence)
    return Outcome("failed", sentence)


def _became(items: Sequence[RunItem], skipped: Counter[str]) -> Outcome:
    """What a run says of one message, as the outcome of its item."""
    for item in items:
        if item.outcome == "error":
            return Outcome("failed", item.reason, item.record)
    if items:
        return Outcome("mended", record=items[0].record)
    reason = next(iter(skipped), "gone")
    if reason == "already kept":
        return Outcome("mended", "It stands in the CRM already.")
    if reason == "gone":
        return Outcome("gone", SENTENCES["missing"])
    return Outcome("left out", SENTENCES.get(reason, f"It is left out as a {reason}."))


def _folder(work: Work, name: str) -> Outcome:
    """A folder that could not be read: where it opens now, the next round takes in what it missed."""
    mark = name.removeprefix(FOLDER)
    folder = next((one.id for one in work.box.folders().folders if work.mark(one.id) == mark), None)
    if folder is None:
        return Outcome("gone", "The mailbox has no such folder any more.")
    try:
        work.box.open_folder(folder, work.world.clock())
    except (NeedsPerson, BadItem, Gone, Reset, ForeignLink, TooLarge) as why:
        return _failed(work, name, why.sentence)
    work.world.state.wants.want(work.row.id, "mail")
    return Outcome("mended", "It can be read again; the next round takes in what it missed.")
