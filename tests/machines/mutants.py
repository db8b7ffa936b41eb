"""The product with exactly one of its rules switched off: what protects from a fault is shown by its absence."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from sync import attachments, capture, fanout, folders, history, jobs, listing, mend, page
from sync.crm import records
from sync.crm.mails import Mails
from sync.graph import answers, wire
from sync.graph.gates import Gates
from sync.rounds import Rounds
from sync.state import State
from sync.work import Work
from tests.stage import DOES

Patch = pytest.MonkeyPatch
Off = Callable[[Patch], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule, how it is switched off, and the cells among which somebody notices: a pattern searched in their ids."""

    rule: str
    off: Off
    cells: str


def rewritten(owner: Any, name: str, *changes: tuple[str, str]) -> Off:
    """Switches a rule off by rewriting the lines that are the rule. It fails where they do not stand there any more."""

    def off(patch: Patch) -> None:
        function = getattr(owner, name)
        text = textwrap.dedent(inspect.getsource(function))
        for old, new in changes:
            assert old in text, f"{name} does not say {old!r} any more: say in tests/machines/mutants.py what it says."
            text = text.replace(old, new, 1)
        made: dict[str, Any] = {}
        space = vars(owner) if isinstance(owner, ModuleType) else vars(inspect.getmodule(function))
        exec("from __future__ import annotations\n" + text, space, made)  # noqa: S102 - our own source, one line of it changed
        patch.setattr(owner, name, made[name])
        for queue in [queue for queue, does in DOES.items() if does is function]:
            patch.setitem(DOES, queue, made[name])

    return off


def replaced(owner: Any, name: str, by: Any) -> Off:
    """Switches a rule off by putting something else in its place."""
    return lambda patch: patch.setattr(owner, name, by)


def all_of(*many: Off) -> Off:
    """Two places that say the same rule."""

    def off(patch: Patch) -> None:
        for one in many:
            one(patch)

    return off


MUTANTS = (
    Mutant(
        "the place is saved after what it covers is stored",
        rewritten(
            folders,
            "_reached",
            (
                "    capture(work, page, known=True, oldest=oldest)",
                """\
    work.save(places=[replace(place, next=page.next or '', link=page.delta or place.link)])
    capture(work, page, known=True, oldest=oldest)""",
            ),
        ),
        r"live-crash-before-\d+-CrmTimeline-lost",
    ),
    Mutant(
        "the folder tree's place is saved after new folders were opened",
        rewritten(
            folders,
            "walk",
            ("    changed: dict", "    work.save({**cursor, 'tree': tree.cursor})\n    changed: dict"),
        ),
        r"live-503-at-\d+-delta-open",
    ),
    Mutant(
        "the lease is taken by one worker alone",
        rewritten(
            State,
            "open",
            ('rows.moment(held, "until") > now', "False"),
            ('Write("replace", key, values, held.version) if held', 'Write("replace", key, values) if held'),
        ),
        r"live-zombie-before-\d+-AccordState",
    ),
    Mutant(
        "a cursor is saved under the lease's version",
        all_of(
            rewritten(
                State, "_save", ('Write("replace", key, values, lease.version)', 'Write("replace", key, values)')
            ),
            rewritten(State, "save", ("if lease.until <= self._clock():", "if False:")),
        ),
        r"live-zombie-before-\d+-CrmRecords",
    ),
    Mutant(
        "the sighting is inserted, so that a second time is noticed",
        rewritten(records, "sighting_write", ('"insert" if seen.item is None else "replace"', '"merge"')),
        r"live-crash-after-\d+-CrmRecords-redelivered",
    ),
    Mutant(
        "a timeline that was not completed is completed",
        replaced(Mails, "_missing", lambda *_: set()),
        r"live-crash-before-\d+-CrmTimeline-lost",
    ),
    Mutant(
        "a copy without its timeline does not count as known",
        rewritten(Mails, "known", ("and not self._missing(key, seen.time, seen.shown_to)", "")),
        r"live-crash-before-\d+-CrmTimeline-lost",
    ),
    Mutant(
        "an error stands in the log before the place passes it",
        rewritten(Work, "save", ("if self.tally.errors > self._logged:", "if False:")),
        r"unreadable-crash-before-\d+-AccordRuns-lost",
    ),
    Mutant(
        "what was refused for a moment is asked again",
        replaced(page, "_weigh", lambda *_: None),
        r"live-part-1-429-at-\d+-batch-bodies",
    ),
    Mutant(
        "a file that was refused for a moment is asked again",
        replaced(attachments, "TRIES", 0),
        r"live-(503|timeout)-at-\d+-file",
    ),
    Mutant(
        "a lost delta is opened again",
        rewritten(folders, "_round", ("except CursorGone:", "except ZeroDivisionError:")),
        r"live-all-deltas-lost-at-\d+-folders-again",
    ),
    Mutant(
        "a lost folder tree is listed again",
        rewritten(folders, "_tree", ("except CursorGone:", "except ZeroDivisionError:")),
        r"live-all-deltas-lost-at-\d+-folders-again",
    ),
    Mutant(
        "after a folder was gone all folders are listed again",
        rewritten(folders, "rounds", ('            cursor["tree"] = ""\n', "")),
        r"live-404-at-\d+-delta$",
    ),
    Mutant(
        "the edge of old mail is asked again with the second behind it",
        rewritten(listing, "one_page", ("until + SECOND, newest_first)", "until - SECOND, newest_first)")),
        r"backfill-message-twice-0",
    ),
    Mutant(
        "the backfill is wanted before the start is over",
        rewritten(capture, "live", ('world.state.wants.want(row.id, "mail-backfill")', "pass")),
        r"backfill-message-dropped-\d+-backfill-mail",
    ),
    Mutant(
        "what breaks off saves the cursor as it last was",
        rewritten(Work, "save", ("self._cursor = dict(cursor)", "self._cursor = cursor")),
        r"backfill-outage-before-\d+-AccordWanted",
    ),
    Mutant(
        "what failed to be saved is not saved by the end of a job that breaks off",
        rewritten(
            Work,
            "save",
            ("    self._lease = ", "    self._cursor = dict(cursor or self._cursor)\n    self._lease = "),
        ),
        r"backfill-outage-before-\d+-AccordState",
    ),
    Mutant(
        "a backfill is served after its cursor says so",
        rewritten(
            capture,
            "backfill",
            (
                "        work.finish(cursor)",
                (
                    "            world.state.wants.served(row.id, 'mail-backfill', want.count)\n"
                    "        work.finish(cursor)"
                ),
            ),
        ),
        r"backfill-crash-before-\d+-AccordRuns",
    ),
    Mutant(
        "a run that was overtaken cannot say that the backfill runs",
        rewritten(capture, "_meet", ("work.know(met=True)", 'work.know(met=True, backfill="running")')),
        r"backfill-zombie-before-\d+-AccordMailboxes",
    ),
    Mutant(
        "a job that got lost is found by what is wanted",
        rewritten(fanout, "wanted", (" or now - want.queued > patience", "")),
        r"backfill-message-dropped-\d+-backfill-mail",
    ),
    Mutant(
        "a blocked mailbox is tried again by the hour",
        rewritten(
            fanout,
            "polled",
            (
                "        every = ",
                "        if row.blocked:\n            continue\n        every = ",
            ),
        ),
        r"live-403-at-\d+-delta-open",
    ),
    Mutant(
        "no link that leads elsewhere is remembered",
        all_of(replaced(answers, "checked", lambda link: link), replaced(wire, "checked", lambda link: link)),
        r"live-foreign-link-at-\d+-delta-open",
    ),
    Mutant(
        "nothing is asked while Microsoft said wait, and a stream has one chain of jobs",
        all_of(
            replaced(fanout, "waiting", lambda *_: False),
            replaced(jobs, "_told", lambda *_: 0.0),
            rewritten(jobs, "_one", ("job.ticket < want.ticket", "False")),
            replaced(jobs, "_wait", lambda *_: 0.0),
            replaced(Gates, "heard", lambda *_: None),
        ),
        r"live-lasting-429-wait-(file|batch-files)",
    ),
    Mutant(
        "a message that was given up is in the log",
        replaced(jobs, "poisoned", lambda *_: None),
        r"live-message-halved",
    ),
    Mutant(
        "the mailboxes are told of a round",
        rewritten(history, "tell", ('        world.state.wants.want(mailbox, "mail-history")', "        pass")),
        r"history-message-dropped-\d+-history-mail",
    ),
    Mutant(
        "what waits for its round is saved over what was read",
        rewritten(
            Rounds,
            "save",
            ('Write("replace", GATHER, values, version) if version', 'Write("replace", GATHER, values) if version'),
        ),
        r"history-zombie-.*AccordState",
    ),
    Mutant(
        "the row of a retry goes after its item says what became of it",
        rewritten(
            mend,
            "_note",
            ("    for one in asked:\n", "    log.retries.drop(work.row.id, asked)\n    for one in asked:\n"),
        ),
        r"retry-crash-before-\d+-AccordRetries",
    ),
    Mutant(
        "a retry reads a mail that stands already once more, for the files it lacks",
        rewritten(mend, "mend", ("work.retrying = True", "work.retrying = False")),
        r"retry-(503|timeout)-at-\d+-file",
    ),
    Mutant(
        "who becomes a contact is put beside a mail that stands already",
        rewritten(page, "_news", ("elif not before.items or any(", "elif not before.items or False and any(")),
        r"history-503-at-\d+-list",
    ),
)
