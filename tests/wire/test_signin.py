"""Signing in, against the simulated tenant and against doors that are shut."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date

import pytest
import requests
from requests.adapters import BaseAdapter

from dev.memory import ManualClock
from dev.tenant import Tenant, login
from dev.tenant.adapter import TenantAdapter
from dev.tenant.faults import Fault
from sync.errors import SignInRefused, Unavailable
from sync.graph import signin as signing_in
from sync.graph.client import Graph, GraphMailbox
from sync.graph.gates import Gates
from sync.graph.session import PinnedSession, ThreadSessions
from sync.graph.signin import HELD, SignIn
from sync.meter import Meter
from tests.builders import NOON
from tests.stage import ADA


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(date(2026, 11, 20), ManualClock(NOON))


@pytest.fixture
def sessions(tenant) -> Iterator[ThreadSessions]:
    sessions = ThreadSessions(lambda: TenantAdapter(tenant))
    yield sessions
    sessions.close()


def a_signin(tenant: Tenant, sessions: ThreadSessions, **changes: str) -> SignIn:
    given = {"tenant_id": tenant.tenant_id, "client_id": tenant.client_id, "client_secret": tenant.client_secret}
    return SignIn(**{**given, **changes}, sessions=sessions)


def test_a_token_is_asked_for_once_and_again_when_it_was_refused(tenant, sessions):
    signin = a_signin(tenant, sessions)

    first = signin.token()
    again = signin.token()
    signin.forget()
    third = signin.token()

    assert first == again != third
    assert tenant.counts()["token_calls"] == 2


class Uptime:
    """In the place of `time`: seconds since the machine was started."""

    def __init__(self) -> None:
        self.seconds = 5.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def uptime(monkeypatch) -> Uptime:
    uptime = Uptime()
    monkeypatch.setattr(signing_in, "time", uptime)
    return uptime


def tokens_last(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """From now on the tenant's tokens last that long. One of less than five minutes msal never hands out twice, so
    that each question to msal is a new token."""
    monkeypatch.setattr(login, "LIFE", seconds + 1)  # it says a second less than it grants


def test_a_token_is_held_for_half_a_minute_and_not_longer(tenant, sessions, uptime, monkeypatch):
    tokens_last(monkeypatch, 200)
    signin = a_signin(tenant, sessions)

    first = signin.token()
    uptime.seconds += HELD - 0.1
    held = signin.token()
    uptime.seconds += 0.1
    asked = signin.token()

    assert HELD == 30
    assert first == held != asked
    assert tenant.counts()["token_calls"] == 2


def test_a_token_that_ends_sooner_is_held_until_it_ends(tenant, sessions, uptime, monkeypatch):
    tokens_last(monkeypatch, 10)
    signin = a_signin(tenant, sessions)

    first = signin.token()
    uptime.seconds += 9.9
    held = signin.token()
    uptime.seconds += 0.1
    after_its_end = signin.token()

    assert first == held != after_its_end


def test_after_half_a_minute_the_same_token_is_held_again_while_msal_finds_it_good(tenant, sessions, uptime):
    signin = a_signin(tenant, sessions)

    found = set()
    for _ in range(10):
        found.add(signin.token())
        uptime.seconds += HELD

    assert (len(found), tenant.counts()["token_calls"]) == (1, 1)


def test_a_held_token_that_graph_refuses_is_forgotten_at_once(tenant, sessions, uptime):
    tenant.add_user(ADA)
    signin = a_signin(tenant, sessions)
    mailbox = GraphMailbox(Graph(sessions, signin, Meter(), Gates(ManualClock(NOON))), ADA)
    mailbox.folders()
    refused = signin.token()

    tenant.revoke_tokens()
    mailbox.folders()

    assert signin.token() != refused
    assert tenant.counts()["token_calls"] == 2


def test_a_refusal_of_an_older_token_leaves_the_held_one(tenant, sessions, uptime):
    signin = a_signin(tenant, sessions)
    older = signin.token()
    signin.forget(older)
    held = signin.token()

    signin.forget(older)

    assert signin.token() == held != older
    assert tenant.counts()["token_calls"] == 2


def test_a_held_token_is_never_handed_to_another_tenant_or_app(tenant, sessions, uptime):
    a_signin(tenant, sessions).token()

    for change, said in (("tenant_id", "AADSTS90002"), ("client_id", "AADSTS700016")):
        with pytest.raises(SignInRefused, match=said):
            a_signin(tenant, sessions, **{change: "00000000-0000-4000-8000-00000000dead"}).token()


def test_a_refusal_to_sign_in_is_not_held(tenant, sessions, uptime):
    signin = a_signin(tenant, sessions)
    tenant.faults.add(Fault(match="/token", kind="unauthorized"))

    with pytest.raises(SignInRefused):
        signin.token()

    assert signin.token()


def test_forgetting_before_the_first_token_is_no_error(tenant, sessions):
    signin = a_signin(tenant, sessions)

    signin.forget()

    assert signin.token()


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        ({"client_secret": "a-wrong-secret"}, "AADSTS7000215", "ACCORD_CLIENT_SECRET"),
        ({"client_id": "00000000-0000-4000-8000-00000000dead"}, "AADSTS700016", "ACCORD_CLIENT_ID"),
        ({"tenant_id": "00000000-0000-4000-8000-00000000dead"}, "AADSTS90002", "ACCORD_TENANT_ID"),
    ],
)
def test_a_refusal_has_a_sentence_and_a_remedy_and_no_secret(tenant, sessions, change, said, remedy):
    with pytest.raises(SignInRefused) as refused:
        a_signin(tenant, sessions, **change).token()

    assert said in refused.value.sentence
    assert remedy in refused.value.remedy
    assert "a-wrong-secret" not in refused.value.sentence + refused.value.remedy


def test_a_busy_sign_in_service_is_asked_again_later(tenant, sessions):
    tenant.faults.add(Fault(match="openid-configuration", kind="unavailable"))

    with pytest.raises(Unavailable):
        a_signin(tenant, sessions).token()


@pytest.mark.parametrize("kind", ["truncate", "malformed", "html"])
@pytest.mark.parametrize("asked", ["/token", "openid-configuration"])
def test_an_answer_that_cannot_be_read_is_asked_for_later_and_no_part_of_it_is_logged(
    tenant, sessions, caplog, asked, kind
):
    caplog.set_level(logging.DEBUG)
    tenant.faults.add(Fault(match=asked, kind=kind, after=150))
    signin = a_signin(tenant, sessions)

    with pytest.raises(Unavailable, match="cannot be read"):
        signin.token()

    assert "access_token" not in caplog.text
    assert signin.token()[:20] not in caplog.text


def test_a_sign_in_service_that_does_not_answer_is_asked_again_later(tenant, sessions):
    tenant.faults.add(Fault(match="login.microsoftonline.com", kind="timeout", times=None))

    with pytest.raises(Unavailable):
        a_signin(tenant, sessions).token()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://graph.microsoft.com/v1.0/me",
        "https://graph.microsoft.com.evil.example/",
        "https://graph.microsoft.com@evil.example/",
        "https://169.254.169.254/",
        "http://localhost/",
    ],
)
def test_the_session_reaches_two_origins_and_no_other(url):
    """S13: there is no adapter for any other address, so nothing is sent."""
    with PinnedSession() as session, pytest.raises(requests.exceptions.InvalidSchema):
        session.get(url)


class Redirecting(BaseAdapter):
    """Answers everything with a redirect, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def send(self, request, *args, **kwargs):
        self.sent += 1
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 302, request, request.url
        answer.headers["Location"] = "https://graph.microsoft.com/elsewhere"
        answer.headers["Set-Cookie"] = "a=b; Path=/"
        return answer

    def close(self) -> None:
        pass


def test_a_redirect_is_an_answer_and_is_never_followed_and_no_cookie_is_kept():
    adapter = Redirecting()
    with PinnedSession(adapter) as session:
        answer = session.get("https://graph.microsoft.com/v1.0/x", headers={"Authorization": "Bearer x"})

        assert (answer.status_code, adapter.sent, len(session.cookies)) == (302, 1, 0)
        assert session.trust_env is False


def test_each_thread_has_a_session_of_its_own(sessions):
    assert sessions.current() is sessions.current()
