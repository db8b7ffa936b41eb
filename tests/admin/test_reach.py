"""Where the command line goes, with which key, and what it makes of whoever answers there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.admin.terminal import AppAdapter, Far, Terminal
from tests.stage import Stage
from tests.web.web_world import KEY

STATUS = {"mailboxes": 0, "causes": [], "last_tick": None, "policy_version": 0, "queues": []}


def well(adapter: Far | None = None) -> Far:
    return adapter or Far(200, {"Content-Type": "application/json"}, json.dumps(STATUS).encode())


def asked_at(url: str, folder: Path, **environment: str) -> tuple[int, str, list[str]]:
    far = well()
    shell = Terminal(far, folder, environment={"ACCORD_API_KEY": KEY, **environment})
    seen = shell("status", *(["--url", url] if url else []))
    return seen.status, seen.err, [str(one.url) for one in far.requests]


@pytest.mark.parametrize(
    ("url", "asks"),
    [
        ("", "http://localhost:7071/api/admin/status"),
        ("https://accord.firm.example", "https://accord.firm.example/api/admin/status"),
        ("https://accord.firm.example:8443/", "https://accord.firm.example:8443/api/admin/status"),
        ("https://gate.firm.example/accord/", "https://gate.firm.example/accord/api/admin/status"),
        ("http://127.0.0.1:7072", "http://127.0.0.1:7072/api/admin/status"),
        ("http://[::1]:7071", "http://[::1]:7071/api/admin/status"),
        ("HTTP://LocalHost:7071", "http://localhost:7071/api/admin/status"),
    ],
)
def test_the_address_that_is_given_is_asked_and_no_other(tmp_path: Path, url: str, asks: str) -> None:
    assert asked_at(url, tmp_path) == (0, "", [asks])


def test_the_address_may_stand_in_the_environment(tmp_path: Path) -> None:
    there = asked_at("", tmp_path, ACCORD_URL="https://accord.firm.example")
    given = asked_at("https://other.firm.example", tmp_path, ACCORD_URL="https://accord.firm.example")

    assert there[2] == ["https://accord.firm.example/api/admin/status"]
    assert given[2] == ["https://other.firm.example/api/admin/status"]


@pytest.mark.parametrize(
    "url",
    [
        "http://accord.firm.example",
        "http://localhost.firm.example",
        "http://127.0.0.1.firm.example",
        "http://0.0.0.0:7071",
        "ftp://localhost",
        "accord.firm.example",
        "localhost:7071",
        "https://",
        "https://accord.firm.example:99999",
        "https://accord.firm.example:port",
        "https://me:secret@accord.firm.example",
        "https://accord.firm.example/?x=1",
        "https://accord.firm.example/#x",
        "https://müller.example",
        "https://[::1",
    ],
)
def test_the_key_is_sent_over_nothing_but_https_to_a_plain_place(tmp_path: Path, url: str) -> None:
    status, err, asked = asked_at(url, tmp_path)

    assert (status, asked) == (2, [])
    assert len(err.splitlines()) == 2
    assert "secret" not in err


def test_the_key_stands_in_a_header_and_nowhere_else(tmp_path: Path) -> None:
    far = well()

    seen = Terminal(far, tmp_path)("status")

    (request,) = far.requests
    assert request.headers["X-Api-Key"] == KEY
    assert KEY not in str(request.url)
    assert KEY not in seen.out + seen.err


def test_the_key_of_the_local_settings_is_used_where_the_environment_has_none(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": {"ACCORD_API_KEY": "of the file"}}))
    far = well()

    Terminal(far, tmp_path, environment={})("status")
    Terminal(far, tmp_path, environment={"ACCORD_API_KEY": "of the environment"})("status")

    assert [one.headers["X-Api-Key"] for one in far.requests] == ["of the file", "of the environment"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (None, "There is no API key."),
        ("{}", "There is no API key."),
        ("[]", "There is no API key."),
        ('{"Values": {"ACCORD_API_KEY": ""}}', "There is no API key."),
        ('{"Values": {"ACCORD_API_KEY": 7}}', "There is no API key."),
        ("{", "local.settings.json cannot be read."),
        ('{"Values": {"ACCORD_API_KEY": "a\\nHost: elsewhere"}}', "The API key holds what no header can carry."),
        ('{"Values": {"ACCORD_API_KEY": "schlüssel"}}', "The API key holds what no header can carry."),
    ],
)
def test_without_a_key_nothing_is_asked_and_the_way_to_one_is_told(
    tmp_path: Path, settings: str | None, says: str
) -> None:
    if settings is not None:
        (tmp_path / "local.settings.json").write_text(settings, "utf-8")
    far = well()

    seen = Terminal(far, tmp_path, environment={})("status")

    assert (seen.status, far.requests) == (2, [])
    first, second = seen.err.splitlines()
    assert first == says
    assert "ACCORD_API_KEY" in second


def test_there_is_no_option_that_takes_the_key(shell: Terminal) -> None:
    seen = shell("status", "--key", KEY)

    assert seen.status == 2
    assert "--key" not in shell("--help").out


def test_a_wrong_key_is_told_so(shell: Terminal) -> None:
    shell.environment["ACCORD_API_KEY"] = "another key for the tests"

    seen = shell("status")

    assert (seen.status, seen.out) == (3, "")
    assert seen.err.splitlines() == [
        "The service does not take this key.",
        "Set ACCORD_API_KEY to the key of the app's settings.",
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(tmp_path: Path, status: int) -> None:
    far = Far(status, {"Location": "http://localhost:7071/elsewhere", "Content-Type": "text/html"})

    seen = Terminal(far, tmp_path)("status")

    assert (seen.status, len(far.requests)) == (3, 1)
    assert "leads elsewhere" in seen.err


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<h1>Welcome</h1>"),
        (200, "application/json", b"[1]"),
        (200, "application/json", b"{}"),
        (200, "application/json", b"{"),
        (404, "text/html", b"nothing here\x1b[2J"),
        (404, "application/json", b'{"detail": "Not Found"}'),
        (502, "text/html", b"Bad Gateway"),
        (503, "application/problem+json", b"{"),
        (500, "", b""),
    ],
)
def test_somebody_else_at_this_address_is_not_taken_for_accord(
    tmp_path: Path, status: int, kind: str, body: bytes
) -> None:
    seen = Terminal(Far(status, {"Content-Type": kind}, body), tmp_path)("status")

    assert (seen.status, seen.out) == (3, "")
    assert "is not Accord" in seen.err
    assert "\x1b" not in seen.err


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (requests.ConnectionError("secret"), "cannot be reached"),
        (requests.exceptions.ConnectTimeout("secret"), "cannot be reached"),
        (requests.exceptions.ReadTimeout("secret"), "took too long"),
        (requests.exceptions.SSLError("secret"), "cannot be trusted"),
        (requests.exceptions.ChunkedEncodingError("secret"), "cannot be reached"),
    ],
)
def test_a_service_that_does_not_answer_is_told_in_a_sentence(tmp_path: Path, fails: Exception, says: str) -> None:
    far = well()
    far.fails = fails

    seen = Terminal(far, tmp_path)("status")

    assert seen.status == 3
    assert says in seen.err
    assert len(seen.err.splitlines()) == 2
    assert "secret" not in seen.err


def test_nothing_listens_there_in_earnest(tmp_path: Path) -> None:
    seen = Terminal(None, tmp_path)("status", "--url", "http://127.0.0.1:9")

    assert seen.status == 3
    assert "cannot be reached" in seen.err


@pytest.mark.parametrize(
    ("status", "problem", "headers", "says"),
    [
        (503, {"detail": "Other workers are writing."}, {"Retry-After": "5"}, "Try again in 5 seconds."),
        (503, {"detail": "Busy."}, {}, "Try again in a while."),
        (500, {"detail": "Something went wrong here.", "id": "a1b2"}, {}, "Find it in the app's log by a1b2."),
        (409, {"detail": "Microsoft says no.", "remedy": "Give consent."}, {}, "Give consent."),
        (412, {"detail": "It changed."}, {}, "Somebody changed it meanwhile"),
        (418, {"title": "I'm a Teapot"}, {}, "See --help."),
        (422, {"detail": "No.\x1b[2J", "problems": ["mail.bcc is odd."]}, {}, "Mend what is named"),
    ],
)
def test_a_refusal_is_told_with_what_to_do(
    tmp_path: Path, status: int, problem: dict[str, Any], headers: dict[str, str], says: str
) -> None:
    body = json.dumps({"title": "Refused", "status": status, **problem}).encode()
    far = Far(status, {"Content-Type": "application/problem+json", **headers}, body)

    seen = Terminal(far, tmp_path)("status")

    assert (seen.status, seen.out) == (1, "")
    assert says in seen.err
    assert str(problem.get("detail", problem.get("title"))).replace("\x1b", "") in seen.err
    assert "\x1b" not in seen.err


def test_no_variable_of_the_environment_leads_the_key_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Requests reads this process's environment by itself, so nothing but that can show it.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine localhost login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    far = well()

    Terminal(far, tmp_path)("status")

    assert "Authorization" not in far.requests[0].headers
    assert far.requests[0].headers["X-Api-Key"] == KEY


def test_a_list_that_leads_back_to_itself_ends_and_no_cookie_is_kept(tmp_path: Path) -> None:
    far = Far(200, {"Content-Type": "application/json", "Set-Cookie": "a=b"}, b'{"items": [], "next": "x"}')

    seen = Terminal(far, tmp_path)("mailbox", "list")

    assert seen.status == 3
    assert "leads back to itself" in seen.err
    assert [one.headers.get("Cookie") for one in far.requests] == [None, None]


def test_an_answer_of_another_release_is_told_by_what_it_lacks(tmp_path: Path) -> None:
    seen = Terminal(Far(200, {"Content-Type": "application/json"}, b'{"mailboxes": 1}'), tmp_path)("status")

    assert (seen.status, seen.out) == (3, "")
    assert "has no 'last_tick'" in seen.err


def test_long_lists_are_asked_page_by_page_and_joined(stage: Stage, shell: Terminal) -> None:
    for number in range(201):
        stage.add(f"m{number:03d}@firm.example")
    assert isinstance(shell.adapter, AppAdapter)
    shell.adapter.asked.clear()

    seen = shell("mailbox", "list", "--json")

    assert shell.adapter.asked == ["GET /api/admin/mailboxes"] * 2
    assert len(seen.json["items"]) == 201
    assert seen.json["next"] == ""
