"""The admin API as the Functions host calls it: mailboxes, exclusions, why, and how everything stands."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import azure.functions as func
import pytest

from dev.tenant.adapter import TenantAdapter
from dev.tenant.faults import Fault
from sync import fanout, web, wiring
from sync.errors import StorageUnavailable
from sync.health import Check, Checks
from sync.ports import Tables, Write
from sync.settings import load
from sync.storage import prepare
from sync.web.app import build
from tests.builders import NOON
from tests.stage import ADA, BEN, ROSA, Fuse, FusedTables, Stage
from tests.web.web_world import KEY, Answer, Client, an_admin, the_web

NOBODY = "0" * 32
OWNER = "u" + "3" * 32


def added(client: Client, address: str = ADA) -> str:
    """Take a mailbox into scope; returns its id."""
    return str(client.ask("POST", "/mailboxes", {"address": address}).json["id"])


def is_problem(answer: Answer, status: int) -> bool:
    return (answer.status, answer.json["status"], answer.headers["content-type"]) == (
        status,
        status,
        "application/problem+json",
    )


# -- mailboxes


def test_a_mailbox_is_taken_into_scope_once(client: Client) -> None:
    first = client.ask("POST", "/mailboxes", {"address": " Ada@Firm.example ", "owner": OWNER})
    second = client.ask("POST", "/mailboxes", {"address": ADA})

    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    assert first.json == {
        "id": first.json["id"],
        "address": ADA,
        "owner": OWNER,
        "off": False,
        "backfill": "running",
        "status": "new",
        "cause": "new",
        "title": "Not looked at yet",
        "sentence": "It is looked at within a minute or two.",
        "remedy": "",
        "until": None,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"address": "nonsense"},
        {"address": ""},
        {"address": "a" * 321 + "@firm.example"},
        {"address": 7},
        {"address": ADA, "owner": "ada"},
        {"address": ADA, "owner": OWNER + "\n"},
        {"address": ADA, "connection": "another"},
        {},
        [],
        "text",
    ],
)
def test_what_is_no_mailbox_is_refused(client: Client, body: Any) -> None:
    answer = client.ask("POST", "/mailboxes", body)

    assert is_problem(answer, 422)
    assert answer.json["detail"]
    assert client.ask("GET", "/mailboxes").json["items"] == []


def test_the_name_of_an_unknown_field_is_not_sent_back(client: Client) -> None:
    answer = client.ask("POST", "/mailboxes", {"address": ADA, "secret-name": "secret-value"})

    assert answer.json["detail"] == "body: There is a field that this address does not know."


def test_mailboxes_are_listed_page_by_page(stage: Stage, client: Client) -> None:
    ids = sorted(added(client, f"box{number}@firm.example") for number in range(7))

    found, after, pages = [], "", 0
    while after or not pages:
        page = client.ask("GET", f"/mailboxes?limit=3&after={after}").json
        found += [one["id"] for one in page["items"]]
        after, pages = page["next"], pages + 1

    assert (found, pages) == (ids, 3)


def test_a_page_that_ends_with_the_last_mailbox_is_the_last(client: Client) -> None:
    for number in range(2):
        added(client, f"box{number}@firm.example")

    assert client.ask("GET", "/mailboxes?limit=2").json["next"] == ""


def test_a_mailbox_tells_how_far_it_is(stage: Stage, client: Client) -> None:
    stage.mail()
    stage.mail(author="nobody@known.example")
    mailbox = added(client)
    stage.settle()

    told = client.ask("GET", f"/mailboxes/{mailbox}").json

    assert (told["status"], told["title"], told["backfill"]) == ("connected", "In agreement", "done")
    assert told["progress"] == {
        "seen": 2,
        "kept": 1,
        "bodies": 1,
        "errors": 0,
        "skipped": {"no contact": 1},
        "percent": 100,
        "rate": None,
        "left": None,
    }


def test_a_mailbox_is_switched_off_given_away_and_its_old_mail_paused(stage: Stage, client: Client) -> None:
    mailbox = added(client)

    changed = client.ask("PATCH", f"/mailboxes/{mailbox}", {"off": True, "owner": OWNER, "backfill": "paused"}).json
    same = client.ask("PATCH", f"/mailboxes/{mailbox}", {"off": None}).json
    on = client.ask("PATCH", f"/mailboxes/{mailbox}", {"off": False, "backfill": "running", "owner": ""}).json

    assert (changed["off"], changed["owner"], changed["backfill"], changed["status"]) == (True, OWNER, "paused", "off")
    assert same == changed
    assert (on["off"], on["owner"], on["backfill"], on["status"]) == (False, "", "running", "new")


@pytest.mark.parametrize("body", [{"off": "yes"}, {"backfill": "done"}, {"owner": "x"}, {"status": "connected"}, None])
def test_what_is_no_change_of_a_mailbox_is_refused(client: Client, body: Any) -> None:
    mailbox = added(client)

    assert is_problem(client.ask("PATCH", f"/mailboxes/{mailbox}", body), 422)


def test_a_mailbox_is_let_go_and_its_mail_stays(stage: Stage, client: Client) -> None:
    stage.mail(subject="stays")
    mailbox = added(client)
    stage.settle()

    gone = client.ask("DELETE", f"/mailboxes/{mailbox}")

    assert (gone.status, gone.body) == (204, b"")
    assert is_problem(client.ask("DELETE", f"/mailboxes/{mailbox}"), 404)
    assert stage.timeline() == ["stays"]


def test_a_mailbox_is_looked_at_now_and_read_again_when_asked(stage: Stage, client: Client) -> None:
    mailbox = added(client)
    stage.settle()
    stage.mail(subject="hurry")

    asked = client.ask("POST", f"/mailboxes/{mailbox}/sync")
    stage.work()
    hurried = stage.timeline()
    again = client.ask("POST", f"/mailboxes/{mailbox}/reset")
    standing = client.ask("GET", f"/mailboxes/{mailbox}").json
    stage.settle()

    assert (asked.status, asked.json) == (again.status, again.json) == (202, {"status": "queued"})
    assert hurried == stage.timeline() == ["hurry"]
    assert (standing["status"], standing["progress"]["seen"]) == ("new", 0)


def test_a_mailbox_that_is_off_is_not_looked_at_now(stage: Stage, client: Client) -> None:
    mailbox = added(client)
    client.ask("PATCH", f"/mailboxes/{mailbox}", {"off": True})

    answer = client.ask("POST", f"/mailboxes/{mailbox}/sync")

    assert is_problem(answer, 409)
    assert "switch it on" in answer.json["detail"]


@pytest.mark.parametrize("mailbox", [NOBODY, "nonsense", "%2e%2e", NOBODY.upper() + "A", "0" * 32 + "%0a"])
@pytest.mark.parametrize(
    ("method", "end", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"off": True}),
        ("DELETE", "", None),
        ("POST", "/sync", None),
        ("POST", "/reset", None),
        ("POST", "/explain", {"message": "<one@client.example>"}),
    ],
)
def test_a_mailbox_that_is_not_in_scope_is_not_found(
    client: Client, mailbox: str, method: str, end: str, body: Any
) -> None:
    assert is_problem(client.ask(method, f"/mailboxes/{mailbox}{end}", body), 404)


# -- why


def test_a_message_is_explained_address_by_address(stage: Stage, client: Client) -> None:
    message = stage.mail()
    mailbox = added(client)
    stage.settle()

    why = client.ask("POST", f"/mailboxes/{mailbox}/explain", {"message": message}).json

    assert (why["keep"], why["stored"]) == (True, True)
    assert {one["address"]: one["standing"] for one in why["lines"]} == {
        ROSA: "a contact",
        ADA: "an address of this mailbox",
    }
    assert client.get(f"/api/crm/mails/{why['record']}").status == 200


def test_a_message_that_is_not_there_is_explained_too(stage: Stage, client: Client) -> None:
    why = client.ask("POST", f"/mailboxes/{added(client)}/explain", {"message": "<one@client.example>"}).json

    assert (why["keep"], why["reason"], why["record"]) == (False, "missing", "")


def test_what_microsoft_refuses_for_good_names_the_remedy(stage: Stage, client: Client) -> None:
    message = stage.mail()
    mailbox = added(client)
    stage.tenant.faults.add(Fault(match="messages", kind="forbidden"))

    answer = client.ask("POST", f"/mailboxes/{mailbox}/explain", {"message": message})

    assert is_problem(answer, 409)
    assert "may not read" in answer.json["detail"]
    assert answer.json["remedy"].startswith("Grant the app Mail.Read")


def test_what_microsoft_refuses_for_now_says_when_to_ask_again(stage: Stage, client: Client) -> None:
    message = stage.mail()
    mailbox = added(client)
    stage.tenant.faults.add(Fault(match="messages", kind="throttle", after=17))

    answer = client.ask("POST", f"/mailboxes/{mailbox}/explain", {"message": message})

    assert is_problem(answer, 503)
    assert answer.headers["retry-after"] == "17"


@pytest.mark.parametrize("message", ["", ".", "..", "x" * 2001, 7])
def test_what_is_no_message_is_refused(client: Client, message: Any) -> None:
    assert is_problem(client.ask("POST", f"/mailboxes/{added(client)}/explain", {"message": message}), 422)


# -- exclusions


def test_an_exclusion_is_made_counts_and_is_taken_back(stage: Stage, client: Client) -> None:
    mailbox = added(client)
    made = client.ask("POST", "/exclusions", {"pattern": "client.example"})
    stage.mail(subject="left out")
    stage.settle()
    left_out = stage.timeline()

    back = client.ask("POST", "/exclusions/take-back", {"pattern": "Client.example"})
    second = client.ask("POST", "/exclusions/take-back", {"pattern": "client.example"})

    assert (made.status, made.json) == (201, {"pattern": "client.example", "until": None})
    assert left_out == []
    assert (back.status, back.json["pattern"]) == (200, "client.example")
    assert client.ask("GET", "/exclusions").json == {"items": [back.json]}
    assert is_problem(second, 404)
    assert client.ask("GET", f"/exclusions?mailbox={mailbox}").json == {"items": []}


def test_a_mailbox_has_exclusions_of_its_own(client: Client) -> None:
    mailbox = added(client)

    client.ask("POST", "/exclusions", {"pattern": "news*@*", "mailbox": mailbox})

    assert client.ask("GET", "/exclusions").json == {"items": []}
    assert client.ask("GET", f"/exclusions?mailbox={mailbox}").json["items"] == [{"pattern": "news*@*", "until": None}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"pattern": "a*b*c*d*e"}, 422),
        ({"pattern": ""}, 422),
        ({"pattern": "two words"}, 422),
        ({"pattern": "client.example", "mailbox": "other"}, 422),
        ({"pattern": "client.example", "mailbox": NOBODY}, 404),
        ({"pattern": "client.example", "until": None}, 422),
    ],
)
@pytest.mark.parametrize("end", ["", "/take-back"])
def test_what_is_no_exclusion_is_refused(client: Client, end: str, body: Any, status: int) -> None:
    assert is_problem(client.ask("POST", f"/exclusions{end}", body), status)


# -- how everything stands


def test_the_status_counts_mailboxes_and_jobs(stage: Stage, client: Client) -> None:
    added(client, ADA)
    added(client, BEN)
    added(client, "gone@firm.example")
    stage.settle()
    stage.queue.put("sync-mail-poison", "given up")
    stage.queue.put("sync-mail", "waits", 60)

    told = client.ask("GET", "/status").json

    assert (told["mailboxes"], told["policy_version"]) == (3, 0)
    assert told["causes"] == [
        {"cause": "connected", "title": "In agreement", "count": 2},
        {"cause": "mailbox", "title": "No such mailbox", "count": 1},
    ]
    assert told["last_tick"] is not None
    queues = {one["name"]: (one["messages"], one["poison"]) for one in told["queues"]}
    assert queues["sync-mail"] == (1, 1)
    assert queues["poll-idle"] == (0, 0)


def health(client: Client) -> dict[str, Any]:
    answer = client.ask("GET", "/health")
    assert answer.status == 200
    return dict(answer.json)


def wrong(told: dict[str, Any]) -> dict[str, str]:
    """What is not well, by name."""
    return {one["name"]: one["sentence"] for one in told["dependencies"] if not one["ok"]}


def test_where_everything_answers_the_health_says_so(stage: Stage, client: Client) -> None:
    fanout.tick(stage.world)

    told = health(client)

    assert (told["status"], told["sentence"]) == ("ok", "Everything answers.")
    names = [one["name"] for one in told["dependencies"]]
    assert names == ["tables", "queues", "blobs", "sign-in", "Microsoft Graph"]
    assert all(one["ok"] and one["milliseconds"] >= 0 for one in told["dependencies"])
    assert datetime.fromisoformat(told["last_tick"]) == NOON


def test_a_timer_that_stands_still_is_named(stage: Stage, client: Client) -> None:
    never = health(client)
    fanout.tick(stage.world)
    stage.clock.advance(601)
    late = health(client)

    assert (never["status"], never["last_tick"]) == (late["status"], None) == ("degraded", None)
    assert "has not run yet" in never["sentence"]
    assert f"last ran at {NOON:%Y-%m-%d %H:%M} UTC" in late["sentence"]


def test_a_sign_in_that_is_refused_is_named_with_its_remedy_and_without_the_secret(stage: Stage) -> None:
    stage.tenant.faults.add(Fault(match="/token$", kind="unauthorized", times=None))
    fanout.tick(stage.world)

    told = health(Client(the_web(stage)))

    assert set(wrong(told)) == {"sign-in", "Microsoft Graph"}
    assert "ACCORD_CLIENT_SECRET" in wrong(told)["sign-in"]
    assert stage.tenant.client_secret not in str(told)


def test_a_directory_that_may_not_be_read_is_named_with_its_remedy(stage: Stage, client: Client) -> None:
    stage.tenant.faults.add(Fault(match="users", kind="forbidden"))

    assert "User.Read.All" in wrong(health(client))["Microsoft Graph"]


def test_microsoft_is_not_asked_while_it_told_us_to_wait(stage: Stage, client: Client) -> None:
    row = stage.add()
    stage.world.state.wait("connection", row, stage.clock() + timedelta(minutes=5))
    stage.tenant.recording = True

    told = health(client)

    assert "asked us to wait" in wrong(told)["Microsoft Graph"]
    assert not [one for one in stage.tenant.exchanges if "graph.microsoft.com" in one["url"]]


def test_what_does_not_answer_is_not_waited_for(stage: Stage) -> None:
    hangs = Check("blobs", lambda: time.sleep(1.0))
    admin = an_admin(stage)
    slow = Checks((hangs, Check("queues", lambda: None)), stage.clock, seconds=0.1)
    client = Client(build(stage.crm, KEY, replace(admin, checks=slow)))
    started = time.monotonic()

    told = [health(client) for _ in range(3)]

    assert time.monotonic() - started < 0.9
    assert all("did not answer within 0.1 seconds" in wrong(one)["blobs"] for one in told)
    assert all("queues" not in wrong(one) for one in told)
    slow.close()


def test_of_an_error_nobody_expected_the_class_alone_is_told(stage: Stage) -> None:
    def fails() -> None:
        raise ValueError("rosa@client.example is a secret")

    checks = Checks((Check("tables", fails),), stage.clock)
    admin = an_admin(stage)

    told = health(Client(build(stage.crm, KEY, replace(admin, checks=checks))))

    assert wrong(told) == {"tables": "It answered with an error nobody expected (ValueError)."}
    assert told["last_tick"] is None


# -- bodies


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 100_000, b"1" * 5_000])
def test_a_body_that_cannot_be_read_is_refused(client: Client, body: bytes) -> None:
    headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
    answer = client.send("POST", "/api/admin/mailboxes", headers, body)

    assert answer.status in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
    body = b'{"address": "' + b"a" * 1024 * 1024 + b'"}'

    assert is_problem(client.send("POST", "/api/admin/mailboxes", headers, body), 413)


# -- what holds for every route


def test_a_parameter_that_is_not_known_or_given_twice_is_refused_by_every_route(client: Client) -> None:
    paths = client.get("/api/openapi.json", key=None).json["paths"]
    routes = [(method.upper(), path) for path, of in paths.items() for method in of if path.startswith("/api/admin/")]

    for method, path in routes:
        url = path.replace("{id}", NOBODY).replace("{number}", "1")
        for query, detail in (("?unknown=secret", "does not know"), ("?limit=1&limit=1", "twice")):
            answer = client.send(method, url + query, {"X-Api-Key": KEY, "Content-Type": "application/json"}, b"{}")
            assert is_problem(answer, 422), (method, path)
            assert detail in answer.json["detail"], (method, path)
            assert "secret" not in answer.json["detail"]


class Quicker(FusedTables):
    """Tables in which somebody else changes a row between our look and our write."""

    def __init__(self, inner: Tables) -> None:
        super().__init__(inner, Fuse(-1))

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """One group, too late."""
        for one in writes:
            if one.version is not None:
                self._inner.write(table, partition, [Write("merge", one.key)])
        return self._inner.write(table, partition, writes)


def test_where_somebody_else_was_quicker_nothing_is_changed_and_it_is_said(stage: Stage, client: Client) -> None:
    client.ask("POST", "/exclusions", {"pattern": "client.example"})
    late = stage.a_worker(Quicker(stage.tables))
    late_client = Client(build(stage.crm, KEY, an_admin(stage, late)))

    answer = late_client.ask("POST", "/exclusions/take-back", {"pattern": "client.example"})

    assert is_problem(answer, 409)
    assert "Look again" in answer.json["detail"]
    assert client.ask("GET", "/exclusions").json["items"] == [{"pattern": "client.example", "until": None}]


def test_the_health_of_a_built_site_asks_everything_that_is_really_there(
    account: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(account)
    tenant = stage.tenant
    settings = {
        "SYNC_TICK": "0 * * * * *",
        "ACCORD_TENANT_ID": tenant.tenant_id,
        "ACCORD_CLIENT_ID": tenant.client_id,
        "ACCORD_CLIENT_SECRET": tenant.client_secret,
        "ACCORD_API_KEY": KEY,
        "ACCORD_DIGEST_KEY": "YSBkaWdlc3Qga2V5IGZvciB0aGUgdGVzdHM=",
        "AzureWebJobsStorage": account,
    }
    site = wiring.build(load(settings), lambda: TenantAdapter(tenant))
    monkeypatch.setattr("sync.wiring.site", lambda: site)  # the environment of this process has no settings

    def ask(path: str) -> Any:
        headers = {"X-Api-Key": KEY}
        request = func.HttpRequest(
            method="GET", url=f"http://localhost/api/admin{path}", headers=headers, params={}, body=b""
        )
        return json.loads(asyncio.run(web.answer(request)).get_body())

    told, status = ask("/health"), ask("/status")

    site.close()
    assert [(one["name"], one["sentence"]) for one in told["dependencies"] if not one["ok"]] == []
    assert (status["mailboxes"], {one["messages"] for one in status["queues"]}) == (0, {0})


def test_a_storage_that_is_not_there_is_named_and_microsoft_beside_it_is_well(stage: Stage) -> None:
    class Absent(FusedTables):
        """Tables nobody can reach."""

        def get(self, *_: Any) -> Any:
            raise StorageUnavailable("The storage did not answer (a test).", 15)

        rows = get

    world = stage.a_worker(Absent(stage.tables, Fuse(-1)))

    told = health(Client(build(stage.crm, KEY, an_admin(stage, world))))

    assert wrong(told) == {"tables": "The storage did not answer (a test)."}
    assert told["last_tick"] is None
