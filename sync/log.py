"""Logs & Errors: one row for each run that did something or failed, and what it did to each item (T1, T2, T5).

AccordRuns       partition: day counted down; row: time counted down|run id, so that the newest comes first
AccordRunItems   partition: run id; row: number
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from sync import rows
from sync.model import Run, RunItem
from sync.ports import Row, Tables, Value, Write

RUNS, ITEMS = "AccordRuns", "AccordRunItems"
_END_OF_DAYS = 99999
_END_OF_TIME = 10**16


class Log:
    """Runs as rows, by one Tables port."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def write(self, run: Run, items: Sequence[RunItem] = ()) -> None:
        """Write a run and its items; items first, so that a run that shows has them."""
        lines = [Write("replace", f"{at:06d}", _item_values(item)) for at, item in enumerate(items)]
        for at in range(0, len(lines), 100):
            self._tables.write(ITEMS, run.id, lines[at : at + 100])
        key = f"{_END_OF_TIME - round(run.started.timestamp() * 1e6):016d}|{run.id}"
        self._tables.write(RUNS, _day(run.started), [Write("replace", key, _run_values(run))])

    def runs(self, limit: int = 50) -> list[Run]:
        """The newest runs first."""
        return [_run(row) for row in islice(self._tables.scan(RUNS), limit)]

    def items(self, run: str) -> list[RunItem]:
        """What one run did, item by item."""
        return [_item(row) for row in self._tables.rows(ITEMS, run)]


def _day(moment: datetime) -> str:
    return f"{_END_OF_DAYS - int(moment.timestamp() // 86400):05d}"


def _item_values(item: RunItem) -> dict[str, Value]:
    return {"name": item.name, "outcome": item.outcome, "reason": item.reason, "record": item.record}


def _item(row: Row) -> RunItem:
    failed = rows.text(row, "outcome") == "error"
    name, reason, record = (rows.text(row, column) for column in ("name", "reason", "record"))
    return RunItem(name, "error" if failed else "kept", reason, record)


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
    )
