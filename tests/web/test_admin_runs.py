"""Logs & Errors over the admin API, as the Functions host calls it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from dev.firm import Attachment
from dev.tenant.faults import Fault
from sync.model import Run
from sync.web.admin_runs import EXPORTED
from tests.builders import NOON
from tests.stage import ADA, BEN, Stage
from tests.web.web_world import Answer, Client

NOBODY = "0" * 32
FILE = Attachment("plan.pdf", "application/pdf", b"%PDF")


def runs(client: Client, query: str = "") -> list[dict[str, Any]]:
    return list(client.ask("GET", f"/runs{query}").json["items"])


def is_problem(answer: Answer, status: int) -> bool:
    return (answer.status, answer.json["status"]) == (status, status)


def two_mailboxes(stage: Stage) -> tuple[str, str]:
    """Ada's and Ben's mailboxes with a run each that kept something, and one of Ben's that failed as a whole."""
    stage.mail(to=ADA, subject="for Ada")
    stage.mail(to=BEN, subject="for Ben")
    ada, ben = stage.add(ADA).id, stage.add(BEN).id
    stage.settle()
    row = stage.world.state.mailbox(ben)
    assert row is not None
    stage.tenant.faults.add(Fault(match=f"{row.user}.*delta", kind="forbidden", times=None))
    stage.clock.advance(6 * 3600)
    stage.settle()
    return ada, ben


def test_runs_are_listed_newest_first_and_page_by_page(stage: Stage, client: Client) -> None:
    two_mailboxes(stage)

    found, after, pages = [], "", 0
    while after or not pages:
        page = client.ask("GET", f"/runs?limit=1&after={after}").json
        found += page["items"]
        after, pages = page["next"], pages + 1

    assert found == runs(client)
    assert pages == len(found) > 2
    assert [one["started"] for one in found] == sorted((one["started"] for one in found), reverse=True)


def test_runs_are_found_by_mailbox_by_failure_and_by_time(stage: Stage, client: Client) -> None:
    ada, ben = two_mailboxes(stage)
    later = quote((stage.clock() - timedelta(hours=3)).isoformat())

    failed = runs(client, "?errors=true")

    assert {one["mailbox"] for one in runs(client)} == {ada, ben}
    assert {one["mailbox"] for one in runs(client, f"?mailbox={ada}")} == {ada}
    assert {(one["mailbox"], one["failed"]) for one in failed} == {(ben, True)}
    assert all("may not read" in one["sentence"] for one in failed)
    assert failed == runs(client, f"?mailbox={ben}&errors=true&since={later}")
    assert runs(client, f"?mailbox={ben}&errors=true&until={later}") == []
    assert runs(client, f"?mailbox={NOBODY}") == []


def test_a_run_shows_its_items_and_what_failed_among_them(stage: Stage, client: Client) -> None:
    stage.mail(attachments=(FILE,))
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind="bad_request", times=None))
    stage.add()
    stage.settle()
    (failed,) = runs(client, "?errors=true")

    alone = client.ask("GET", f"/runs/{failed['id']}").json
    items = client.ask("GET", f"/runs/{failed['id']}/items").json
    errors = client.ask("GET", f"/runs/{failed['id']}/items?errors=true&limit=1").json

    assert alone == failed
    assert (failed["errors"], failed["sentence"]) == (1, "")
    assert {one["outcome"] for one in items["items"]} == {"kept", "error"}
    assert [one["outcome"] for one in errors["items"]] == ["error"]
    assert errors["items"][0]["stage"] == "Microsoft Graph"
    assert errors["next"] == items["next"] == ""


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"/runs/{NOBODY}", 404),
        (f"/runs/{NOBODY}/items", 404),
        ("/runs/nonsense", 404),
        ("/runs?after=nonsense", 422),
        ("/runs?mailbox=nonsense", 422),
        ("/runs?errors=perhaps", 422),
        ("/runs?since=2026-11-20T12:00:00", 422),
        ("/runs?since=0001-01-01T00:00:00Z", 422),
        ("/runs?until=9999-12-31T23:59:59Z", 422),
        ("/runs?since=yesterday", 422),
        ("/runs?limit=0", 422),
        ("/runs?subject=secret", 422),
        ("/runs?limit=1&limit=2", 422),
    ],
)
def test_what_cannot_be_listed_is_refused(client: Client, url: str, status: int) -> None:
    assert is_problem(client.ask("GET", url), status)


# -- a file for a spreadsheet


def exported(client: Client, query: str = "") -> list[list[str]]:
    answer = client.ask("GET", f"/runs.csv{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["content-disposition"] == 'attachment; filename="runs.csv"'
    return list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"))))


def test_runs_come_as_a_file_filtered_as_the_list_is(stage: Stage, client: Client) -> None:
    ada, ben = two_mailboxes(stage)

    names, *whole = exported(client)
    _, *failed = exported(client, f"?mailbox={ben}&errors=true")

    assert names[:3] == ["Run", "Mailbox", "Stream"]
    assert [line[0] for line in whole] == [one["id"] for one in runs(client)]
    assert {line[1] for line in whole} == {ada, ben}
    assert [line[0] for line in failed] == [one["id"] for one in runs(client, "?errors=true")]
    assert client.ask("GET", "/audit").json["items"][0]["action"] == "runs exported"


def test_no_cell_of_the_file_is_a_formula(stage: Stage, client: Client) -> None:
    stage.world.log.write(a_run(1, sentence='=HYPERLINK("https://evil.example")'))

    (_, line) = exported(client)

    assert line[names_of(client).index("Error message")].startswith("'=")


def test_a_file_that_ends_early_says_where_to_go_on(stage: Stage, client: Client) -> None:
    stage.world.log.write_many([a_run(number) for number in range(EXPORTED + 5)])

    _, *first, told = exported(client)
    moment = told[0].removeprefix("There are more: ask again with until=")
    _, *rest = exported(client, f"?until={quote(moment)}")

    assert len(first) == EXPORTED
    assert {line[0] for line in first} | {line[0] for line in rest} == {f"{n:032x}" for n in range(EXPORTED + 5)}
    assert len(rest) < 10


def names_of(client: Client) -> list[str]:
    return exported(client)[0]


def a_run(number: int, **changed: Any) -> Run:
    """A run that began `number` seconds before noon."""
    began = NOON - timedelta(seconds=number)
    values: dict[str, Any] = {"seen": 1, **changed}
    return Run(f"{number:032x}", "connection", NOBODY, "mail", "due", began, began, **values)


# -- once more


def an_error(stage: Stage, client: Client) -> tuple[str, int]:
    """A mail of Ada's whose file could not be had; the run and the number of the error."""
    stage.mail(subject="with a plan", attachments=(FILE,))
    stage.tenant.faults.add(Fault(match=r"attachments/.*value", kind="forbidden"))
    stage.add()
    stage.settle()
    (run,) = runs(client, "?errors=true")
    (item,) = client.ask("GET", f"/runs/{run['id']}/items?errors=true").json["items"]
    return run["id"], item["number"]


@pytest.mark.parametrize("which", ["item", "run", "all"])
def test_an_error_is_done_again_and_shows_that_it_is_mended(stage: Stage, client: Client, which: str) -> None:
    run, number = an_error(stage, client)
    asks = {
        "item": (f"/runs/{run}/items/{number}/retry", None),
        "run": (f"/runs/{run}/retry", None),
        "all": ("/errors/retry", {"days": 30}),
    }

    answer = client.ask("POST", *asks[which])
    asked = client.ask("GET", f"/runs/{run}/items?errors=true").json["items"][0]
    stage.settle()
    after = client.ask("GET", f"/runs/{run}/items?errors=true").json["items"][0]

    assert (answer.status, answer.json) == (202, {"queued": 1, "refused": [], "next": ""})
    assert (asked["retry"], after["retry"]) == ("queued", "mended")
    assert after["retried"] is not None
    assert client.ask("GET", "/audit").json["items"][0]["action"] == "errors retried"


def test_what_cannot_be_done_again_is_named_with_the_reason(stage: Stage, client: Client) -> None:
    run, number = an_error(stage, client)
    client.ask("DELETE", f"/mailboxes/{stage.add().id}")

    answer = client.ask("POST", f"/runs/{run}/items/{number}/retry")

    assert answer.status == 202
    assert answer.json["queued"] == 0
    assert answer.json["refused"] == [{"run": run, "number": number, "reason": "The mailbox is not in scope any more."}]


def test_errors_of_fewer_days_than_all_are_done_again(stage: Stage, client: Client) -> None:
    an_error(stage, client)
    stage.clock.advance(2 * 86400)

    assert client.ask("POST", "/errors/retry", {"days": 1}).json["queued"] == 0
    assert client.ask("POST", "/errors/retry", {"days": 3}).json["queued"] == 1


def test_all_errors_are_gone_through_slice_by_slice(stage: Stage, client: Client) -> None:
    stage.world.log.write_many([a_run(number, sentence="It failed.") for number in range(700)])

    first = client.ask("POST", "/errors/retry", {}).json
    second = client.ask("POST", "/errors/retry", {"after": first["next"]}).json

    assert first["next"]
    assert second["next"] == ""
    assert len(first["refused"]) + len(second["refused"]) == 700


@pytest.mark.parametrize(
    ("url", "body", "status"),
    [
        (f"/runs/{NOBODY}/retry", None, 404),
        (f"/runs/{NOBODY}/items/0/retry", None, 404),
        (f"/runs/{NOBODY}/items/first/retry", None, 422),
        (f"/runs/{NOBODY}/items/-1/retry", None, 422),
        ("/errors/retry", {"days": 31}, 422),
        ("/errors/retry", {"days": 0}, 422),
        ("/errors/retry", {"days": "7"}, 422),
        ("/errors/retry", {"after": "nonsense"}, 422),
        ("/errors/retry", {"mailbox": NOBODY}, 422),
        ("/errors/retry", None, 422),
    ],
)
def test_what_cannot_be_asked_for_again_is_refused(client: Client, url: str, body: Any, status: int) -> None:
    assert is_problem(client.ask("POST", url, body), status)


def test_an_item_that_the_run_does_not_have_is_not_found(stage: Stage, client: Client) -> None:
    run, number = an_error(stage, client)

    assert is_problem(client.ask("POST", f"/runs/{run}/items/{number + 1}/retry"), 404)
