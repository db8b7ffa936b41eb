"""Logs & Errors: one row for each run that did something or failed, and what it did to each item (T1 to T6).

AccordRuns       partition `runs`. All rows of a run are one group, so every list shows it or none does:
                   a|time|id            the run; times are counted down, so that the newest comes first
                   e|time|id            once more where it failed
                   m|mailbox|time|id    once more for its mailbox
                   x|mailbox|time|id    once more for its mailbox where it failed
                   r|id                 its time: finds a run by its id
AccordRunItems   partition: run id; rows `k|number` of what was kept, `e|number` of errors

A page of any list is one range of one partition, however many runs there are and however deep it lies. One partition
takes 2,000 rows a second (https://learn.microsoft.com/azure/storage/tables/scalability-targets); a run that stores mail
writes tens of rows elsewhere for its two to five here, so the account's own limit of 20,000 is reached first.
A job of several mailboxes stands in the lists of the firm alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from heapq import merge
from itertools import islice

from sync import rows
from sync.errors import BadItem
from sync.model import RetryOutcome, Run, RunItem
from sync.ports import Row, Tables, Value, Write
from sync.retries import Retries
from sync.wants import again

RUNS, ITEMS = "AccordRuns", "AccordRunItems"
PARTITION = "runs"
GROUP = 100
# A run has up to five rows, and a group holds a hundred.
RUNS_OF_A_GROUP = 20
_END_OF_TIME = 10**16
# What may stand in a key between two bars; a list of mailboxes has commas and is none.
_NAME = re.compile(r"[\w.:-]{1,200}", re.ASCII)
_PLACE = re.compile(rf"[0-9]{{16}}\|{_NAME.pattern}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)
_LOST = "This place in the log is unknown; begin again without it."


class Log:
    """Runs and their items as rows, by one Tables port. `retries` is what of them is to be done again."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.retries = Retries(tables)

    def write(self, run: Run, items: Sequence[RunItem] = ()) -> None:
        """Write a run and its items, numbered by their order; items first, so that a run that shows has them.

        Writing it again replaces it, but for what became of retries.
        """
        lines = [_item_write(at, item) for at, item in enumerate(items)]
        for at in range(0, len(lines), GROUP):
            self._tables.write(ITEMS, run.id, lines[at : at + GROUP])
        self._tables.write(RUNS, PARTITION, _writes([run]))

    def write_many(self, runs: Sequence[Run]) -> None:
        """Write runs without items, a group of rows for every twenty."""
        for at in range(0, len(runs), RUNS_OF_A_GROUP):
            self._tables.write(RUNS, PARTITION, _writes(runs[at : at + RUNS_OF_A_GROUP]))

    def runs(
        self,
        limit: int = 50,
        after: str = "",
        *,
        mailbox: str = "",
        errors: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[list[Run], str]:
        """The newest runs first, and the place where the list goes on; "" at its end.

        Those of one mailbox, with errors only, begun in [since, until). Raises BadItem for a place that is none.
        """
        if after and not _PLACE.fullmatch(after):
            raise BadItem("after", _LOST)
        if mailbox and not _NAME.fullmatch(mailbox):
            return [], ""
        start = f"{'x' if errors else 'm'}|{mailbox}|" if mailbox else "e|" if errors else "a|"
        first = max(f"{start}{_counted(until) + 1:016d}" if until else start, f"{start}{after}!" if after else start)
        last = f"{start}{_counted(since) + 1:016d}" if since else f"{start}~"
        if first >= last:
            return [], ""
        found = [_run(row) for row in self._tables.rows(RUNS, PARTITION, first, last, limit=limit + 1)]
        return found[:limit], place(found[limit - 1]) if len(found) > limit > 0 else ""

    def run(self, run_id: str) -> Run | None:
        """One run, or None where the log has none of this id."""
        if not _NAME.fullmatch(run_id):
            return None
        pointer = self._tables.get(RUNS, PARTITION, f"r|{run_id}")
        found = pointer and self._tables.get(RUNS, PARTITION, f"a|{rows.text(pointer, 'time')}|{run_id}")
        return _run(found) if found else None

    def items(self, run_id: str, limit: int = 1000, after: str = "", errors: bool = False) -> tuple[list[RunItem], str]:
        """What a run did, item by item, or its errors alone, and the place where the list goes on; "" at its end.

        Raises BadItem for a place that is none.
        """
        if after and not _NUMBER.fullmatch(after):
            raise BadItem("after", _LOST)
        if not _NAME.fullmatch(run_id):
            return [], ""
        first = f"{int(after) + 1:06d}" if after else ""
        parts = [
            map(_item, self._tables.rows(ITEMS, run_id, f"{kind}|{first}", f"{kind}|~", limit=limit + 1))
            for kind in ("e" if errors else "ek")
        ]
        found = list(islice(merge(*parts, key=lambda item: item.number), limit + 1))
        return found[:limit], str(found[limit - 1].number) if len(found) > limit > 0 else ""

    def item(self, run_id: str, number: int) -> RunItem | None:
        """One error item of a run, or None where it has none of this number."""
        if number < 0:
            return None
        found, _ = self.items(run_id, 1, str(number - 1) if number else "", errors=True)
        return found[0] if found and found[0].number == number else None

    def mark(
        self,
        run_id: str,
        numbers: Sequence[int],
        at: datetime,
        outcome: RetryOutcome,
        reason: str = "",
        record: str = "",
    ) -> None:
        """Note beside error items what became of asking for them again, and their record where they have one now.
        Items that are gone stay gone."""
        values: dict[str, Value] = {"retried": at, "retry": outcome, "retry_reason": reason}
        if record:
            # Beside the item's own: a run under way writes that again.
            values["found"] = record

        def attempt(some: Sequence[int]) -> None:
            first, last = f"e|{some[0]:06d}", f"e|{some[-1] + 1:06d}"
            there = {row.key: row.version for row in self._tables.rows(ITEMS, run_id, first, last, ("outcome",))}
            keys = [key for number in some if (key := f"e|{number:06d}") in there]
            if keys:
                self._tables.write(ITEMS, run_id, [Write("merge", key, values, there[key]) for key in keys])

        ordered = sorted(set(numbers))
        for start in range(0, len(ordered), GROUP):
            again(partial(attempt, ordered[start : start + GROUP]))

    def retried(self, run: Run, at: datetime) -> None:
        """Note that a run is done again. One that is gone stays gone."""

        def attempt() -> None:
            found = self._tables.get(RUNS, PARTITION, f"a|{place(run)}")
            if found is not None:
                more = [key for key in _keys(run) if key != found.key and not key.startswith("r|")]
                writes = [Write("merge", found.key, {"retried": at}, found.version)]
                self._tables.write(RUNS, PARTITION, [*writes, *(Write("merge", key, {"retried": at}) for key in more)])

        again(attempt)

    def forget(self, before: datetime, limit: int) -> int:
        """Remove up to `limit` runs that began before a moment, with their items and all their rows; returns how many.

        Items first: whoever dies in between has left runs that are found again.
        """
        bound = f"a|{_counted(before) + 1:016d}"
        old = [_run(row) for row in self._tables.rows(RUNS, PARTITION, bound, "a|~", limit=limit)]
        for run in old:
            keys = [row.key for row in self._tables.rows(ITEMS, run.id, select=("outcome",))]
            for at in range(0, len(keys), GROUP):
                self._tables.write(ITEMS, run.id, [Write("delete", key) for key in keys[at : at + GROUP]])
        for at in range(0, len(old), RUNS_OF_A_GROUP):
            gone = [Write("delete", key) for run in old[at : at + RUNS_OF_A_GROUP] for key in _keys(run)]
            self._tables.write(RUNS, PARTITION, gone)
        return len(old)


def place(run: Run) -> str:
    """Where a run stands in the lists: what `Log.runs` takes to go on behind it. Pure."""
    return f"{_counted(run.started):016d}|{run.id}"


def _counted(moment: datetime) -> int:
    """A time counted down, in microseconds. Whole numbers: a float of today's seconds is off by one at times."""
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return _END_OF_TIME - (passed.days * 86_400_000_000 + passed.seconds * 1_000_000 + passed.microseconds)


def _keys(run: Run) -> list[str]:
    """The rows of a run."""
    known = place(run)
    mailbox = bool(_NAME.fullmatch(run.mailbox))
    return [
        f"a|{known}",
        *([f"e|{known}"] if run.failed else []),
        *([f"m|{run.mailbox}|{known}"] if mailbox else []),
        *([f"x|{run.mailbox}|{known}"] if mailbox and run.failed else []),
        f"r|{run.id}",
    ]


def _writes(runs: Iterable[Run]) -> list[Write]:
    """All rows of these runs. Merged: what became of a retry stays."""
    found = []
    for run in runs:
        *lists, pointer = _keys(run)
        values = _run_values(run)
        found += [Write("merge", key, values) for key in lists]
        found.append(Write("merge", pointer, {"time": f"{_counted(run.started):016d}"}))
    return found


def _item_write(number: int, item: RunItem) -> Write:
    columns = ("name", "outcome", "reason", "record", "stage")
    values: dict[str, Value] = {name: getattr(item, name) for name in columns}
    return Write("merge", f"{'e' if item.outcome == 'error' else 'k'}|{number:06d}", values)


def _item(row: Row) -> RunItem:
    return RunItem(
        rows.text(row, "name"),
        "error" if row.key.startswith("e|") else "kept",
        rows.text(row, "reason"),
        rows.text(row, "found") or rows.text(row, "record"),
        int(row.key[2:]),
        rows.text(row, "stage"),  # type: ignore[arg-type]  # written here alone
        rows.moment_or_none(row, "retried"),
        rows.text(row, "retry"),  # type: ignore[arg-type]
        rows.text(row, "retry_reason"),
    )


def _run_values(run: Run) -> dict[str, Value]:
    return {
        "id": run.id,
        "connection": run.connection,
        "mailbox": run.mailbox,
        "stream": run.stream,
        "reason": run.reason,
        "started": run.started,
        "ended": run.ended,
        "seen": run.seen,
        "kept": run.kept,
        "errors": run.errors,
        "bodies": run.bodies,
        "skipped": json.dumps(dict(run.skipped)),
        "sentence": run.sentence,
        "job": run.job,
        "stage": run.stage,
    }


def _run(row: Row) -> Run:
    return Run(
        id=rows.text(row, "id"),
        connection=rows.text(row, "connection"),
        mailbox=rows.text(row, "mailbox"),
        stream=rows.text(row, "stream"),
        reason=rows.text(row, "reason"),
        started=rows.moment(row, "started"),
        ended=rows.moment(row, "ended"),
        seen=rows.number(row, "seen"),
        kept=rows.number(row, "kept"),
        errors=rows.number(row, "errors"),
        bodies=rows.number(row, "bodies"),
        skipped=rows.parsed(row, "skipped") or {},
        sentence=rows.text(row, "sentence"),
        job=rows.text(row, "job"),
        stage=rows.text(row, "stage"),  # type: ignore[arg-type]  # written here alone
        retried=rows.moment_or_none(row, "retried"),
    )
