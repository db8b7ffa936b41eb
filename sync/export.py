"""Logs & Errors as CSV, line by line, as RFC 4180 writes it: CRLF, cells in quotes where they need them. Pure.

A spreadsheet takes a cell that begins with = + - @, a tab or a line break for a formula, whoever wrote it: such a text
gets an apostrophe in front (S27, https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import StringIO

from sync.model import Run, RunItem

# Tells Excel that the file is UTF-8.
BOM = "\ufeff"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_RUN: Mapping[str, Callable[[Run], object]] = {
    "Run": lambda run: run.id,
    "Mailbox": lambda run: run.mailbox,
    "Stream": lambda run: run.stream,
    "Reason": lambda run: run.reason,
    "Started (UTC)": lambda run: run.started,
    "Ended (UTC)": lambda run: run.ended,
    "Records processed": lambda run: run.seen,
    "Stored": lambda run: run.kept,
    "Errors": lambda run: run.errors,
    "Left out": lambda run: sum(run.skipped.values()),
    "Failed": lambda run: run.failed,
    "External system": lambda run: run.stage,
    "Error message": lambda run: run.sentence,
    "Retried (UTC)": lambda run: run.retried,
}
_ITEM: Mapping[str, Callable[[Run, RunItem], object]] = {
    "Run": lambda run, _: run.id,
    "Number": lambda _, item: item.number,
    "Mailbox": lambda run, _: run.mailbox,
    "Time (UTC)": lambda run, _: run.started,
    "Item": lambda _, item: item.name,
    "Is error": lambda _, item: item.outcome == "error",
    "Reason": lambda _, item: item.reason,
    "External system": lambda _, item: item.stage,
    "Record": lambda _, item: item.record,
    "Retried (UTC)": lambda _, item: item.retried,
    "Retry": lambda _, item: item.retry,
    "Retry reason": lambda _, item: item.retry_reason,
}


def runs(many: Iterable[Run], bom: bool = True) -> Iterator[str]:
    """A line of names, then a line for each run; with `bom` Excel reads it as UTF-8."""
    yield from _lines(_RUN, ((read(run) for read in _RUN.values()) for run in many), bom)


def items(many: Iterable[tuple[Run, RunItem]], bom: bool = True) -> Iterator[str]:
    """A line of names, then a line for each item with its run; with `bom` Excel reads it as UTF-8."""
    yield from _lines(_ITEM, ((read(run, item) for read in _ITEM.values()) for run, item in many), bom)


def cell(value: object) -> str:
    """A value as the text of a cell, never a formula: times in ISO 8601 and UTC, yes and no, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
    text = str(value)
    if isinstance(value, int | float):
        return text
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(names: Iterable[str], rows: Iterable[Iterable[object]], bom: bool) -> Iterator[str]:
    into = StringIO(newline="")
    writer = csv.writer(into)
    into.write(BOM if bom else "")
    writer.writerow(names)
    for row in rows:
        yield _taken(into)
        writer.writerow(map(cell, row))
    yield _taken(into)


def _taken(into: StringIO) -> str:
    line = into.getvalue()
    into.seek(0)
    into.truncate()
    return line
