"""The REST API as the Functions host calls it: real `func.HttpRequest`s through `func.AsgiMiddleware`."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import azure.functions as func
import pytest

from dev.memory import ManualClock, MemoryBlobs, MemoryTables
from sync import web, wiring
from sync.crm.builtin import Builtin
from sync.errors import Retry
from sync.model import Address, Person
from sync.settings import load
from sync.storage import prepare
from sync.web.app import FILE_BYTES, build
from sync.web.problems import HEADERS
from tests.builders import KEYS
from tests.contracts.crm_world import ADA, CAROL, EVE, a_mail, told_by_bcc
from tests.stage import Stage
from tests.web.web_world import KEY, Answer, an_admin, the_application
from tests.web.web_world import Client as WebClient

ROSA = "rosa@client.example"
SETTINGS = {
    "SYNC_TICK": "0 * * * * *",
    "ACCORD_TENANT_ID": "00000000-0000-4000-8000-000000000001",
    "ACCORD_CLIENT_ID": "00000000-0000-4000-8000-000000000002",
    "ACCORD_CLIENT_SECRET": "a client secret for the tests",
    "ACCORD_API_KEY": "an API key for the tests",
    "ACCORD_DIGEST_KEY": "YSBkaWdlc3Qga2V5IGZvciB0aGUgdGVzdHM=",
}
CSV = b"Name,Email\nRosa Client,rosa@client.example\nEve,eve@client.example\nBen,\n"
VCARDS = """BEGIN:VCARD
VERSION:3.0
FN:Rosa Client
EMAIL:rosa@client.example
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Ben
END:VCARD
BEGIN:VCARD
VERSION:4.0
FN:Jörg
EMAIL:j@kunde.example
END:VCARD
""".encode()


class Client(WebClient):
    """Sends requests to an application around one CRM; nothing happens in the tenant behind it."""

    def __init__(self, crm: Builtin, api_key: str = KEY) -> None:
        admin = an_admin(Stage())
        super().__init__(the_application(crm, admin) if api_key == KEY else build(crm, api_key, admin))

    def post_file(self, body: bytes, **changed: str) -> Answer:
        headers = {"X-Api-Key": KEY, "Content-Type": "text/csv; charset=utf-8"}
        return self.send("POST", "/api/crm/contacts/import", {**headers, **changed}, body)


@pytest.fixture
def crm(clock: ManualClock) -> Builtin:
    return Builtin(MemoryTables(), MemoryBlobs(), KEYS, clock)


@pytest.fixture
def client(crm: Builtin) -> Client:
    return Client(crm)


def exchange(crm: Builtin, many: int = 1) -> str:
    """Have Rosa as a contact with so many mails; returns her key."""
    key = crm.save_contact("Rosa Client", [ROSA])
    (rosa,) = crm.people([ROSA])[ROSA]
    crm.keep([a_mail(number, subject=f"Mail {number}", people=(rosa,)) for number in range(many)])
    return key


# -- what it tells


def test_health_needs_no_key_and_looks_at_nothing(client: Client) -> None:
    answer = client.get("/health", key=None)

    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_a_contact_its_timeline_and_its_mails_can_be_followed(client: Client, crm: Builtin) -> None:
    key = exchange(crm)

    (contact,) = client.get("/api/crm/contacts").json["items"]
    alone = client.get(f"/api/crm/contacts/{key}").json
    (entry,) = client.get(f"/api/crm/contacts/{contact['key']}/timeline").json["items"]
    mail = client.get(f"/api/crm/mails/{entry['key']}").json

    assert contact == alone
    assert contact == {"key": key, "name": "Rosa Client", "addresses": [ROSA], "changed": "2026-03-02T09:00:00Z"}
    assert (entry["type"], entry["subject"], entry["direction"]) == ("mail", "Mail 0", "in")
    assert entry["author"] == {"name": "Rosa", "address": ROSA}
    assert (mail["subject"], mail["html"], mail["text"]) == ("Mail 0", "<p>Dear Ada</p>", "Dear Ada")
    assert [(one["key"], one["role"]) for one in mail["relations"]] == [(key, "to")]
    assert [one["mailbox"] for one in mail["sightings"]] == [ADA]


def test_lists_go_on_where_they_stopped(client: Client, crm: Builtin) -> None:
    key = exchange(crm, many=5)
    for number in range(4):
        crm.save_contact(f"P{number}", [f"p{number}@x.example"])

    def whole(url: str) -> list[Any]:
        found, after, first = [], "", True
        while first or after:
            page = client.get(f"{url}?limit=2&after={after}").json
            found += page["items"]
            after, first = page["next"], False
        return found

    assert [one["subject"] for one in whole(f"/api/crm/contacts/{key}/timeline")] == [
        f"Mail {n}" for n in (4, 3, 2, 1, 0)
    ]
    assert len({one["key"] for one in whole("/api/crm/contacts")}) == 5


def test_changes_are_told_once_to_whoever_keeps_the_cursor(client: Client, crm: Builtin) -> None:
    key = exchange(crm, many=3)
    first = client.get("/api/crm/changes?limit=200").json
    crm.save_contact("Rosa Married", [ROSA], key)

    second = client.get(f"/api/crm/changes?cursor={first['cursor']}").json
    third = client.get(f"/api/crm/changes?cursor={second['cursor']}").json

    assert sorted(one["type"] for one in first["items"]) == ["contact", "mail", "mail", "mail"]
    assert [(one["key"], one["type"]) for one in second["items"]] == [(key, "contact")]
    assert third == {"items": [], "cursor": second["cursor"]}


def test_a_removed_mail_is_told_and_is_gone(client: Client, crm: Builtin, clock: ManualClock) -> None:
    mail = a_mail(people=(), expires=clock() + timedelta(days=1))
    crm.keep([mail])
    stands = client.get(f"/api/crm/mails/{mail.key}").json
    crm.purge(clock() + timedelta(days=1), 10)

    changes = client.get("/api/crm/changes").json["items"]
    gone = client.get(f"/api/crm/mails/{mail.key}")

    assert stands["expires"] == "2026-03-03T09:00:00Z"
    assert [(one["key"], one["type"], one["removed"]) for one in changes] == [
        (mail.key, "mail", False),
        (mail.key, "mail", True),
    ]
    assert gone.status == 404


def test_the_mails_of_a_conversation_are_listed(client: Client, crm: Builtin) -> None:
    crm.keep([a_mail(number, subject=f"Mail {number}") for number in range(3)])

    first = client.get(f"/api/crm/mails/{a_mail(1).key}/thread?limit=2").json
    second = client.get(f"/api/crm/mails/{a_mail(1).key}/thread?limit=2&after={first['next']}").json

    assert [one["subject"] for one in first["items"] + second["items"]] == ["Mail 2", "Mail 1", "Mail 0"]
    assert second["next"] == ""


def test_a_viewer_is_told_of_nobody_whom_others_alone_know_from_a_bcc(client: Client, crm: Builtin) -> None:
    key = exchange(crm, many=0)
    rosa = Person(key, "contact", "Rosa Client")
    mail = told_by_bcc(a_mail(people=(EVE,), bcc=(Address("Rosa", ROSA),)), (rosa, CAROL))
    crm.keep([mail])

    def seen(viewer: str) -> tuple[int, list[list[str]], int, int, int]:
        lines = client.get(f"/api/crm/contacts/{key}/timeline?limit=5{viewer}").json["items"]
        there = client.get(f"/api/crm/mails/{mail.key}?{viewer[1:]}").json
        thread = client.get(f"/api/crm/mails/{mail.key}/thread?limit=5{viewer}").json["items"]
        beside = [one["only"] for one in there["relations"] if one["key"] != EVE.key]
        return len(lines), beside, len(there["bcc"]), len(there["sightings"]), len(thread)

    assert seen("") == (1, [[CAROL.key]], 1, 1, 1)
    assert seen(f"&viewer={CAROL.key}") == (1, [[CAROL.key]], 1, 0, 1)
    assert seen("&viewer=u" + "9" * 32) == (0, [], 0, 0, 1)


def test_a_mail_that_stands_for_a_hidden_contact_alone_is_not_found_by_others(client: Client, crm: Builtin) -> None:
    key = exchange(crm, many=0)
    mail = told_by_bcc(a_mail(people=()), (Person(key, "contact", "Rosa Client"), CAROL))
    crm.keep([mail])

    for end, viewer in product(("?", "/thread?"), (f"viewer={CAROL.key}", "viewer=u" + "9" * 32)):
        answer = client.get(f"/api/crm/mails/{mail.key}{end}{viewer}")
        assert answer.status == (200 if CAROL.key in viewer else 404)


@pytest.mark.parametrize("viewer", ["", "c" + "3" * 32, "u3", "U" + "3" * 32, "u" + "3" * 33, "u" + "3" * 32 + "%0A"])
@pytest.mark.parametrize("path", ["contacts/c{}/timeline", "mails/m{}", "mails/m{}/thread"])
def test_a_viewer_of_another_form_is_refused(client: Client, path: str, viewer: str) -> None:
    answer = client.get(f"/api/crm/{path.format('0' * 32)}?viewer={viewer}")

    assert (answer.status, answer.json["status"]) == (422, 422)


def test_the_html_of_a_mail_is_only_ever_text_within_json(client: Client, crm: Builtin) -> None:
    mail = a_mail(html="<script>alert(1)</script>")
    crm.keep([mail])

    answer = client.get(f"/api/crm/mails/{mail.key}")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json["html"] == "<script>alert(1)</script>"


# -- contacts from a file


def test_a_file_of_contacts_is_imported_and_its_errors_are_named(client: Client, crm: Builtin) -> None:
    first, second = client.post_file(CSV), client.post_file(CSV)

    assert first.status == 200
    assert first.json == {
        "imported": 2,
        "unchanged": 0,
        "errors": [{"line": 4, "sentence": "The row has no mail address that can be used."}],
        "error_count": 1,
    }
    assert (second.json["imported"], second.json["unchanged"]) == (0, 2)
    assert ROSA in crm.people([ROSA])


def test_a_file_as_outlook_on_windows_writes_it_is_understood(client: Client, crm: Builtin) -> None:
    client.post_file("Name;E-Mail-Adresse\r\nJörg;j@kunde.example\r\n".encode("windows-1252"))

    assert [one.name for one in crm.contacts(5)[0]] == ["Jörg"]


@pytest.mark.parametrize("kind", ["text/vcard", "text/vcard; charset=utf-8", "Text/X-vCard", "text/directory"])
def test_a_file_of_vcards_is_imported_and_its_errors_are_named(client: Client, crm: Builtin, kind: str) -> None:
    first, second = (client.post_file(VCARDS, **{"Content-Type": kind}) for _ in range(2))

    assert first.status == 200
    assert first.json == {
        "imported": 2,
        "unchanged": 0,
        "errors": [{"line": 6, "sentence": "The card has no mail address that can be used."}],
        "error_count": 1,
    }
    assert (second.json["imported"], second.json["unchanged"]) == (0, 2)
    assert {one.name for one in crm.contacts(5)[0]} == {"Rosa Client", "Jörg"}


def test_a_file_of_vcards_in_latin_1_is_understood(client: Client, crm: Builtin) -> None:
    client.post_file(VCARDS.decode().encode("latin-1"), **{"Content-Type": "text/vcard"})

    assert {one.name for one in crm.contacts(5)[0]} == {"Rosa Client", "Jörg"}


@pytest.mark.parametrize(
    ("body", "kind", "status", "detail"),
    [
        (b"Name,Phone\nRosa,1\n", "text/csv", 422, "no column of mail addresses"),
        (b"", "text/csv", 422, "no column of mail addresses"),
        (CSV, "application/json", 415, "text/csv"),
        (b"{}", "application/json", 415, "text/csv"),
        (CSV, "text/vcard", 422, "holds no vCard"),
        (b"", "text/vcard", 422, "holds no vCard"),
        (VCARDS, "text/csv", 422, "no column of mail addresses"),
        (VCARDS, "text/plain", 415, "text/csv or text/vcard"),
    ],
    ids=[
        "no addresses",
        "empty",
        "not said to be CSV",
        "JSON",
        "CSV said to be vCards",
        "no cards",
        "vCards said to be CSV",
        "not said to be vCards",
    ],
)
def test_what_is_no_file_of_contacts_is_refused(
    client: Client, body: bytes, kind: str, status: int, detail: str
) -> None:
    answer = client.post_file(body, **{"Content-Type": kind})

    assert (answer.status, answer.json["status"]) == (status, status)
    assert detail in answer.json["detail"]


@pytest.mark.parametrize("kind", ["text/csv", "text/vcard"])
def test_a_file_beyond_what_the_host_takes_is_refused(client: Client, kind: str) -> None:
    answer = client.post_file(b"x" * (FILE_BYTES + 1), **{"Content-Type": kind})

    assert (answer.status, answer.json["status"]) == (413, 413)
    assert "100 MB" in answer.json["detail"]


def test_a_file_is_not_held_a_second_time_while_it_is_imported(client: Client) -> None:
    body = b"Name,Email\n" + b"Rosa,rosa@client.example\n" + b",,,,,,,,,,\n" * 800_000
    tracemalloc.start()

    answer = client.post_file(body)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.json["imported"] == 1
    assert peak < len(body) // 2


def test_the_first_thousand_errors_are_told_and_all_are_counted(client: Client) -> None:
    answer = client.post_file(b"Name,Email\n" + b"Ben,\n" * 1_500)

    assert (len(answer.json["errors"]), answer.json["error_count"]) == (1_000, 1_500)


# -- who may ask


GUARDED = [
    ("GET", "/api/crm/contacts"),
    ("GET", "/api/crm/contacts?limit=nonsense&unknown=1"),
    ("GET", "/api/crm/contacts/c" + "0" * 32),
    ("GET", "/api/crm/contacts/c" + "0" * 32 + "/timeline"),
    ("GET", "/api/crm/mails/m" + "0" * 32),
    ("GET", "/api/crm/mails/m" + "0" * 32 + "/thread"),
    ("GET", "/api/crm/changes"),
    ("POST", "/api/crm/contacts/import"),
]


@pytest.mark.parametrize(("method", "url"), GUARDED)
@pytest.mark.parametrize("key", [None, "", "a key for the test", KEY + "!", "ä€"])
def test_nothing_of_the_crm_is_told_without_the_key(client: Client, method: str, url: str, key: str | None) -> None:
    answer = client.send(method, url, {} if key is None else {"X-Api-Key": key}, b"{")

    assert (answer.status, answer.json["status"]) == (401, 401)
    assert answer.headers["content-type"] == "application/problem+json"


def test_nothing_of_the_admins_is_told_or_read_without_the_key(client: Client) -> None:
    paths = client.get("/api/openapi.json", key=None).json["paths"]
    admin = [(method.upper(), path) for path, of in paths.items() for method in of if path.startswith("/api/admin/")]

    assert len(admin) > 10
    for (method, path), key in product(admin, (None, "", "a key for the test", KEY + "!")):
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"X-Api-Key": key})
        answer = client.send(method, path.replace("{id}", "0" * 32), headers, b"{")
        assert (answer.status, answer.json["status"]) == (401, 401), path


def test_every_route_but_health_and_the_description_asks_for_the_key(client: Client) -> None:
    paths = client.get("/api/openapi.json", key=None).json["paths"]

    unguarded = {path for path, of in paths.items() for method in of.values() if not method.get("security")}

    assert unguarded == {"/health"}
    assert {path for path in paths if path.startswith("/api/crm")} == {
        re.sub(r"[cm]0{32}", "{key}", url.partition("?")[0]) for _, url in GUARDED
    }


def test_an_empty_key_lets_nobody_in(crm: Builtin) -> None:
    client = Client(crm, api_key="")

    assert client.get("/api/crm/contacts", key="").status == 401
    assert client.get("/api/crm/contacts", key=None).status == 401


# -- what is refused


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/", 404),
        ("/api", 404),
        ("/api/crm/contacts/", 404),
        ("/docs", 404),
        ("/redoc", 404),
        ("/admin/functions", 404),
        ("/api/crm/contacts/c" + "0" * 32, 404),
        ("/api/crm/contacts/c" + "0" * 32 + "/timeline", 404),
        ("/api/crm/contacts/C" + "0" * 32, 404),
        ("/api/crm/contacts/u" + "0" * 32, 404),
        ("/api/crm/contacts/..%2F..%2Fetc", 404),
        ("/api/crm/contacts/c'%20or%20'1", 404),
        ("/api/crm/mails/c" + "0" * 32, 404),
        ("/api/crm/mails/m" + "0" * 33, 404),
        ("/api/crm/mails/m" + "0" * 32 + "/thread", 404),
        ("/api/crm/mails/m" + "0" * 33 + "/thread", 404),
        ("/api/crm/mails/m" + "0" * 32 + "/thread?cursor=1", 422),
        ("/api/crm/contacts?viewer=u" + "0" * 32, 422),
        ("/api/crm/contacts?limit=0", 422),
        ("/api/crm/contacts?limit=201", 422),
        ("/api/crm/contacts?limit=ten", 422),
        ("/api/crm/contacts?limit=1&limit=2", 422),
        ("/api/crm/contacts?after=elsewhere", 422),
        ("/api/crm/contacts?page=2", 422),
        ("/api/crm/changes?after=1", 422),
        ("/api/crm/changes?cursor=nonsense", 422),
        ("/api/crm/changes?cursor=" + "1" * 301, 422),
        ("/health?deep=1", 422),
        ("/api/crm/contacts/import", 404),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_its_status(client: Client, url: str, status: int) -> None:
    answer = client.get(url)

    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["title"]


def test_a_wrong_method_is_told_the_right_one(client: Client) -> None:
    answer = client.send("DELETE", "/api/crm/changes", {"X-Api-Key": KEY})

    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_refused_value_is_not_sent_back(client: Client) -> None:
    answer = client.get("/api/crm/contacts?limit=secret-value&secret-name=1")

    assert answer.status == 422
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    "url", ["/health", "/api/openapi.json", "/nowhere", "/api/crm/contacts", "/api/crm/contacts?x=1"]
)
@pytest.mark.parametrize("key", [None, KEY])
def test_every_answer_has_the_security_headers(client: Client, url: str, key: str | None) -> None:
    headers = client.get(url, key).headers

    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= headers.items()
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


# -- what goes wrong here


class Broken:
    """A CRM whose storage is in trouble."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def contacts(self, limit: int, after: str) -> Any:
        raise self._error


def test_an_error_of_ours_is_a_problem_with_an_id_and_neither_answer_nor_log_says_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    client = Client(Broken(ValueError("rosa@client.example is a secret")))  # type: ignore[arg-type]

    answer = client.get("/api/crm/contacts")

    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "frame-ancestors" in answer.headers["content-security-policy"]
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sync")] == [
        f"Request failed: ValueError, id {answer.json['id']}"
    ]
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text


def test_whoever_comes_at_a_busy_moment_is_told_when_to_come_again() -> None:
    client = Client(Broken(Retry("Other workers are writing.", after=5)))  # type: ignore[arg-type]

    answer = client.get("/api/crm/contacts")

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["detail"] == "Other workers are writing."


def test_when_nothing_can_be_built_the_door_still_answers_with_an_id_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Nothing else stands between the door and the environment of this process.
    monkeypatch.setattr("sync.wiring.site", _fail)
    request = func.HttpRequest(method="GET", url="http://localhost/health", headers={}, params={}, body=b"")

    answer = asyncio.run(web.answer(request))

    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert set(json.loads(answer.get_body())) == {"title", "status", "detail", "id"}
    assert HEADERS.items() <= dict(answer.headers).items()
    assert "secret" not in caplog.text


def _fail() -> None:
    raise RuntimeError("a secret")


@pytest.mark.parametrize("url", ["http://localhost/api/%ff", "http://localhost/%c3%28?limit=1", "http://[nowhere/"])
def test_an_address_that_cannot_be_read_is_refused_at_the_door(url: str) -> None:
    answer = asyncio.run(web.answer(func.HttpRequest(method="GET", url=url, headers={}, params={}, body=b"")))

    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert HEADERS.items() <= dict(answer.headers).items()


def test_the_door_answers_for_the_site_of_this_process(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(account)
    site = wiring.build(load({**SETTINGS, "AzureWebJobsStorage": account}))
    site.crm.save_contact("Rosa", [ROSA])
    monkeypatch.setattr("sync.wiring.site", lambda: site)  # the environment of this process has no settings
    request = func.HttpRequest(
        method="GET",
        url="http://localhost/api/crm/contacts",
        headers={"X-Api-Key": SETTINGS["ACCORD_API_KEY"]},
        params={},
        body=b"",
    )

    answers = [asyncio.run(web.answer(request)) for _ in range(2)]

    site.close()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [one["name"] for one in json.loads(answers[1].get_body())["items"]] == ["Rosa"]


# -- the description


def test_the_description_names_every_field_and_every_error(client: Client) -> None:
    described = client.get("/api/openapi.json", key=None).json

    assert described["openapi"].startswith("3.")
    for path, of in described["paths"].items():
        for method in of.values():
            assert method["description"], path
            assert "200" in method["responses"] or path.startswith("/api/admin/")
            assert any(status.startswith("2") for status in method["responses"])
            assert path == "/health" or "401" in method["responses"]
    upload = described["paths"]["/api/crm/contacts/import"]["post"]
    assert list(upload["requestBody"]["content"]) == ["text/csv", "text/vcard"]
    mail = described["components"]["schemas"]["MailShape"]
    assert mail["properties"]["html"]["description"]


def test_requests_at_the_same_time_are_answered_beside_each_other(crm: Builtin) -> None:
    key = exchange(crm)
    middleware = func.AsgiMiddleware(build(crm, KEY, an_admin(Stage())))

    async def ask(url: str) -> int:
        request = func.HttpRequest(
            method="GET", url=f"http://localhost{url}", headers={"X-Api-Key": KEY}, params={}, body=b""
        )
        answer = await middleware.handle_async(request, None)
        return int(answer.status_code)

    async def all_at_once(one: Callable[[str], Any]) -> list[int]:
        return list(await asyncio.gather(*(one(f"/api/crm/contacts/{key}/timeline") for _ in range(30))))

    assert asyncio.run(all_at_once(ask)) == [200] * 30
