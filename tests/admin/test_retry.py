"""What went wrong, tried again by command line: an item, a run, all of some days; and runs as a sheet."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sync.model import Run, RunItem
from tests.admin.terminal import AppAdapter, Terminal
from tests.admin.test_runs import refused
from tests.builders import NOON
from tests.stage import ADA, Stage


@pytest.fixture
def run(stage: Stage, shell: Terminal) -> str:
    """A run of Ada's in which a mail was refused that could be had by now."""
    stage.add(ADA)
    refused(stage)
    stage.tenant.faults.clear()
    (found,) = shell("runs", "--errors", "--json").json["items"]
    return str(found["id"])


def bad(shell: Terminal, run: str) -> int:
    """The number of its error."""
    (item,) = shell("run", run, "--errors", "--json").json["items"]
    return int(item["number"])


def mended(stage: Stage) -> bool:
    stage.settle(ticks=2)
    return set(stage.timeline()) == {"Refused", "Beside it"}


def test_one_item_is_tried_again(stage: Stage, shell: Terminal, run: str) -> None:
    seen = shell("retry", "--run", run, "--item", str(bad(shell, run)))

    assert (seen.status, seen.out) == (0, "1 error will be tried again.\n")
    assert mended(stage)


def test_a_run_is_tried_again_and_shows_it(stage: Stage, shell: Terminal, run: str) -> None:
    seen = shell("retry", "--run", run, "--json")
    queued = shell("run", run, "--errors").out

    assert (seen.status, seen.json["queued"], seen.json["refused"]) == (0, 1, [])
    assert "queued" in queued
    assert mended(stage)
    assert "mended" in shell("run", run, "--errors").out


@pytest.mark.parametrize("days", [(), ("--days", "1")])
def test_all_errors_of_some_days_are_tried_again(
    stage: Stage, shell: Terminal, run: str, days: tuple[str, ...]
) -> None:
    first = shell("retry", "--errors", *days)

    assert (first.status, first.out) == (0, "1 error will be tried again.\n")
    assert mended(stage)
    assert shell("retry", "--errors", *days).out == "There is nothing to try again.\n"


def test_what_cannot_be_tried_again_is_told_with_its_reason(stage: Stage, shell: Terminal, run: str) -> None:
    shell("mailbox", "remove", ADA, "--yes")

    seen = shell("retry", "--run", run)

    assert seen.status == 1
    first, _, header, line = seen.out.splitlines()
    assert first == "0 errors will be tried again."
    assert header.split() == ["run", "item", "why", "nothing", "can", "be", "done"]
    assert line.startswith(run)
    assert line.endswith(".")


def test_where_some_can_be_tried_again_and_some_cannot_both_are_told(stage: Stage, shell: Terminal, run: str) -> None:
    row = stage.add("gone@firm.example")
    stage.settle()
    shell("mailbox", "remove", row.id, "--yes")

    seen = shell("retry", "--errors")

    assert seen.status == 4
    assert seen.out.startswith("1 error will be tried again.\n")
    assert mended(stage)


@pytest.mark.parametrize("words", [("--run", "f" * 32), ("--run", ".."), ("--run", "f" * 32, "--item", "3")])
def test_a_run_that_is_not_there_cannot_be_tried_again(shell: Terminal, words: tuple[str, ...]) -> None:
    seen = shell("retry", *words)

    assert seen.status == 1
    assert isinstance(shell.adapter, AppAdapter)
    assert all(one.startswith("POST /api/admin/runs/") for one in shell.adapter.asked)


def test_runs_go_out_as_a_sheet_narrowed_as_they_are_listed(
    stage: Stage, shell: Terminal, run: str, tmp_path: Path
) -> None:
    stage.mail(subject="Later")
    stage.settle()

    whole = shell("export", "runs")
    shell("export", "runs", "--errors", "--mailbox", ADA, "-o", "errors.csv")

    assert whole.status == 0
    rows = list(csv.reader(io.StringIO(whole.out.removeprefix("\ufeff"), newline="")))
    errors = list(csv.reader((tmp_path / "errors.csv").read_text("utf-8-sig").splitlines()))
    assert rows[0] == errors[0]
    assert len(rows) == len(shell("runs", "--json").json["items"]) + 1
    assert [row[0] for row in errors[1:]] == [run]


def a_run(stage: Stage, number: int) -> Run:
    """A run that found nothing worth keeping, a second after the one before."""
    at = NOON - timedelta(days=1) + timedelta(seconds=number)
    return Run(f"{number:032x}", stage.tenant.tenant_id, stage.add().id, "mail", "due", at, at, seen=1)


def test_a_sheet_that_ends_early_says_how_to_have_the_rest(stage: Stage, shell: Terminal) -> None:
    stage.world.log.write_many([a_run(stage, number) for number in range(10_005)])

    first = shell("export", "runs", "-o", "first.csv")
    until = first.err.rpartition("--until ")[2].strip().rstrip(".")
    rest = shell("export", "runs", "--until", until)

    assert (first.status, first.out, len(until)) == (4, "", len("2026-11-20T12:00:00Z"))
    assert rest.status == 0
    assert f"{0:032x}" in rest.out


def test_more_errors_than_one_request_takes_are_all_tried_again(stage: Stage, shell: Terminal) -> None:
    bad = [RunItem(f"AAMk{number}", "error", "It cannot be read.") for number in range(501)]
    stage.world.log.write(replace(a_run(stage, 1), errors=len(bad)), bad)

    for words in (("--errors",), ("--run", f"{1:032x}")):
        assert isinstance(shell.adapter, AppAdapter)
        shell.adapter.asked.clear()

        seen = shell("retry", *words, "--json")

        assert (seen.status, seen.json) == (0, {"queued": 501, "refused": [], "next": ""})
        assert len(shell.adapter.asked) > 1
