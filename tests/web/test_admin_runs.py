"""Logs & Errors over the admin API, as the Functions host calls it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from dev.firm import Attachment
from dev.tenant.faults import Fault
from tests.stage import ADA, BEN, Stage
from tests.web.web_world import Answer, Client, the_web

NOBODY = "0" * 32
FILE = Attachment("plan.pdf", "application/pdf", b"%PDF")


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def client(stage: Stage) -> Client:
    return Client(the_web(stage))


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
