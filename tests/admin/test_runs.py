"""Logs & Errors by command line: found, narrowed, looked into."""

from __future__ import annotations

import pytest

from dev.tenant.faults import Fault
from tests.admin.terminal import AppAdapter, Terminal
from tests.stage import ADA, BEN, Stage


def refused(stage: Stage, subject: str = "Refused") -> str:
    """A mail that Microsoft refuses while it gives the one beside it; all is captured that can be."""
    message = stage.mail(subject=subject)
    stage.mail(subject="Beside it")
    stage.tenant.faults.add(Fault(match=f"part:GET .*{message.rstrip('=')}", kind="forbidden", times=None))
    stage.settle(ticks=4)
    return message


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def run(stage: Stage, shell: Terminal) -> str:
    """The run of Ada's in which a mail was refused."""
    stage.add(ADA)
    refused(stage)
    (found,) = shell("runs", "--errors", "--json").json["items"]
    return str(found["id"])


def test_runs_are_listed_newest_first_with_the_mailbox_by_its_address(stage: Stage, shell: Terminal, run: str) -> None:
    stage.mail(subject="Later")
    stage.settle()

    header, newest, *older = lines(shell("runs").out)

    assert header == "run started (UTC) mailbox seen kept errors trouble"
    assert ADA in newest
    assert run not in newest
    assert any(line.startswith(f"{run} 2026-") for line in older)


def test_runs_are_narrowed_to_a_mailbox_to_errors_and_to_a_span(stage: Stage, shell: Terminal, run: str) -> None:
    stage.add(BEN)
    stage.mail(to=BEN)
    stage.settle()

    def found(*words: str) -> int:
        return len(shell("runs", "--json", *words).json["items"])

    assert found() == 2
    assert found("--mailbox", BEN) == found("--mailbox", ADA) == found("--errors") == found("--limit", "1") == 1
    assert found("--since", "2026-01-01") == found("--until", "2027-01-01T00:00:00+02:00") == 2
    assert found("--since", "2027-01-01") == found("--until", "2026-01-01") == 0
    assert shell("runs", "--since", "2027-01-01").out == "There is no such run.\n"
    assert shell("runs", "--mailbox", "nobody@firm.example").status == 1
    assert shell("runs", "--since", "1700-01-01").status == 1


def test_a_run_shows_what_became_of_its_items_and_why(stage: Stage, shell: Terminal, run: str) -> None:
    whole, errors = shell("run", run), shell("run", run, "--errors")

    told = lines(whole.out)
    assert told[:3] == [f"run {run}", f"mailbox {ADA}", "of mail"]
    assert {"seen 2", "kept 1", "errors 1"} <= set(told)
    header = told.index("item became why where retry what")
    assert len(told[header + 1 :]) == 2
    (bad,) = lines(errors.out)[lines(errors.out).index("item became why where retry what") + 1 :]
    assert " error " in bad
    assert "Microsoft Graph" in bad


def test_a_run_as_json_has_all_its_items(stage: Stage, shell: Terminal) -> None:
    stage.add()
    for number in range(60):
        stage.mail(subject=f"Mail {number}")
    stage.settle()
    (kept,) = shell("runs", "--json").json["items"]

    whole = shell("run", kept["id"], "--json").json

    assert {key: value for key, value in whole.items() if key != "items"} == kept
    assert sorted(one["number"] for one in whole["items"]) == list(range(60))


@pytest.mark.parametrize("named", ["f" * 32, "..", "../mailboxes", "%2e%2e"])
def test_a_run_that_is_not_there_is_told_so(shell: Terminal, named: str) -> None:
    seen = shell("run", named)

    assert (seen.status, seen.out) == (1, "")
    assert isinstance(shell.adapter, AppAdapter)
    assert all(one.startswith("GET /api/admin/runs/") for one in shell.adapter.asked)
