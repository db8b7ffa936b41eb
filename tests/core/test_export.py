"""Logs & Errors as a file: what a spreadsheet reads is what was there, and nothing of it is a formula (S27)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import export
from sync.model import Run, RunItem
from tests.builders import NOON

RUN = Run(
    "1" * 32,
    "tenant",
    "a" * 32,
    "mail",
    "due",
    NOON,
    NOON + timedelta(seconds=3),
    9,
    4,
    1,
    4,
    {"no contact": 3, "x": 2},
)
ITEM = RunItem("AAMk", "error", "Why.", "m1", 7, "Microsoft Graph", NOON, "failed", "Still.")


def read(lines: Iterator[str]) -> list[dict[str, str]]:
    """What a reader of CSV makes of it."""
    return list(csv.DictReader(StringIO("".join(lines), newline="")))


def test_a_run_is_a_line_under_plain_names() -> None:
    failed = replace(RUN, errors=0, sentence="Microsoft refused.", stage="Microsoft Graph", retried=NOON)

    one, two = read(export.runs([RUN, failed], bom=False))

    assert one == {
        "Run": "1" * 32,
        "Mailbox": "a" * 32,
        "Stream": "mail",
        "Reason": "due",
        "Started (UTC)": one["Started (UTC)"],
        "Ended (UTC)": one["Ended (UTC)"],
        "Records processed": "9",
        "Stored": "4",
        "Errors": "1",
        "Left out": "5",
        "Failed": "yes",
        "External system": "",
        "Error message": "",
        "Retried (UTC)": "",
    }
    assert (two["Failed"], two["Error message"], two["External system"]) == (
        "yes",
        "Microsoft refused.",
        "Microsoft Graph",
    )
    assert two["Retried (UTC)"] == one["Started (UTC)"] == NOON.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_item_is_a_line_with_what_became_of_its_retry() -> None:
    (line,) = read(export.items([(RUN, ITEM)], bom=False))

    told = [line[name] for name in ("Number", "Item", "Is error", "Reason", "External system", "Record", "Retry")]
    assert told == ["7", "AAMk", "yes", "Why.", "Microsoft Graph", "m1", "failed"]
    assert line["Retry reason"] == "Still."


def test_it_comes_line_by_line_and_with_a_mark_for_excel_where_wanted() -> None:
    def endless() -> Iterator[Run]:
        while True:
            yield RUN

    lines = export.runs(endless())

    first, second = next(lines), next(lines)
    assert first.startswith("\ufeffRun,")
    assert all(line.endswith("\r\n") for line in (first, second))
    assert not next(export.runs([], bom=False)).startswith("\ufeff")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_that_a_spreadsheet_would_calculate_is_text(start: str) -> None:
    (line,) = read(export.items([(RUN, replace(ITEM, reason=f'{start}HYPERLINK("x","y")'))], bom=False))

    assert line["Reason"] == f"""'{start}HYPERLINK("x","y")"""


def test_times_are_in_utc_and_numbers_stay_numbers() -> None:
    east = datetime(2026, 3, 2, 10, 0, tzinfo=timezone(timedelta(hours=1)))

    assert [export.cell(one) for one in (east, True, False, None, -3)] == [
        "2026-03-02T09:00:00Z",
        "yes",
        "no",
        "",
        "-3",
    ]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")), min_size=1, max_size=5))
def test_every_text_reads_back_as_it_was_but_for_the_mark_of_a_formula(texts: list[str]) -> None:
    many = [(RUN, replace(ITEM, reason=text)) for text in texts]

    found = [line["Reason"] for line in read(export.items(many, bom=False))]

    assert found == [f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else text for text in texts]
