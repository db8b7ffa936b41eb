"""The policy and the audit over the admin API, as the Functions host calls it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stage import ADA, FIRM
from tests.web.web_world import Answer, Client


def document(**mail: Any) -> dict[str, Any]:
    """The stage's policy with other choices about mail."""
    whole = FIRM.document()
    return {**whole, "mail": {**whole["mail"], **mail}}


def save(client: Client, policy: Any, etag: str | None = "*", note: str = "") -> Answer:
    named = {} if etag is None else {"If_Match": etag}
    return client.ask("PUT", "/policy", {"policy": policy, "note": note}, **named)


def test_before_anybody_saved_one_the_default_counts(client: Client) -> None:
    answer = client.ask("GET", "/policy")

    assert (answer.json["version"], answer.json["at"], answer.json["policy"]) == (0, None, FIRM.document())
    assert answer.headers["etag"].startswith('"')


def test_a_policy_is_saved_over_the_one_that_was_read(client: Client) -> None:
    read = client.ask("GET", "/policy")

    saved = save(client, document(bcc=False), read.headers["etag"], "No Bcc")
    now = client.ask("GET", "/policy")

    assert (saved.status, saved.json["version"], saved.json["by"], saved.json["note"]) == (200, 1, "api key", "No Bcc")
    assert saved.json["policy"]["mail"]["bcc"] is False
    assert (now.json, now.headers["etag"]) == (saved.json, saved.headers["etag"])
    assert saved.headers["etag"] != read.headers["etag"]
    assert client.ask("GET", "/status").json["policy_version"] == 1


def test_of_two_who_change_the_same_policy_the_second_is_told(client: Client) -> None:
    read = client.ask("GET", "/policy").headers["etag"]
    save(client, document(bcc=False), read)

    late = save(client, document(attachment_mb=5), read)

    assert (late.status, late.json["status"]) == (412, 412)
    assert client.ask("GET", "/policy").json["policy"]["mail"]["attachment_mb"] == 25


@pytest.mark.parametrize("etag", ["nonsense", '""', 'W/"0"', '"0', '"1-2", "3"'])
def test_an_etag_that_is_not_todays_saves_nothing(client: Client, etag: str) -> None:
    assert save(client, document(bcc=False), etag).status == 412
    assert client.ask("GET", "/policy").json["version"] == 0


def test_one_of_several_etags_is_enough(client: Client) -> None:
    read = client.ask("GET", "/policy").headers["etag"]

    assert save(client, document(bcc=False), f'"other", {read}').status == 200


def test_without_an_etag_nothing_is_saved(client: Client) -> None:
    answer = save(client, document(bcc=False), None)

    assert (answer.status, answer.headers["content-type"]) == (428, "application/problem+json")
    assert "If-Match" in answer.json["detail"]


def test_saving_what_counts_already_writes_nothing(client: Client) -> None:
    first = save(client, document(bcc=False))

    again = save(client, document(bcc=False), '"of another time"')

    assert (again.status, again.json) == (200, first.json)
    assert len(client.ask("GET", "/policy/history").json["items"]) == 1
    assert len(client.ask("GET", "/audit").json["items"]) == 1


def test_all_problems_of_a_policy_are_named_at_once(client: Client) -> None:
    wrong = {**document(attachment_mb=0, bc=True), "matching": {"internal_domains": ["@firm.example"]}}

    saved, tried = save(client, wrong), client.ask("POST", "/policy/check", {"policy": wrong})

    assert (saved.status, tried.status) == (422, 200)
    assert saved.json["problems"] == tried.json["problems"]
    assert [one.split(" ")[0].rstrip(":") for one in tried.json["problems"]] == [
        "mail.attachment_mb",
        "mail.bc",
        "matching.internal_domains[0]",
    ]
    assert tried.json["changes"] == []


@pytest.mark.parametrize("policy", [None, 7, "text", [], {}, {"version": 2}, {"version": "1"}])
def test_what_is_no_policy_is_refused_and_can_be_tried(client: Client, policy: Any) -> None:
    assert save(client, policy).status == 422
    assert len(client.ask("POST", "/policy/check", {"policy": policy}).json["problems"]) == 1


def test_what_a_policy_would_change_is_told_choice_by_choice(client: Client) -> None:
    wanted = {**document(bcc=False), "matching": {"internal_domains": ["firm.example", "other.example"]}}

    changes = client.ask("POST", "/policy/check", {"policy": wanted}).json["changes"]

    assert changes == [
        {"path": "mail.bcc", "before": True, "after": False, "added": [], "removed": []},
        {
            "path": "matching.internal_domains",
            "before": ["firm.example"],
            "after": ["firm.example", "other.example"],
            "added": ["other.example"],
            "removed": [],
        },
    ]
    assert client.ask("GET", "/policy").json["version"] == 0


def test_every_version_can_be_read_again(client: Client) -> None:
    for size in (5, 6, 7):
        save(client, document(attachment_mb=size), note=f"{size} MB")

    first = client.ask("GET", "/policy/history?limit=2").json
    second = client.ask("GET", f"/policy/history?limit=2&after={first['next']}").json
    old = client.ask("GET", "/policy/versions/2").json

    assert [one["note"] for one in first["items"] + second["items"]] == ["7 MB", "6 MB", "5 MB"]
    assert second["next"] == ""
    assert (old["version"], old["policy"]["mail"]["attachment_mb"]) == (2, 6)


def test_a_preset_can_be_saved_as_it_comes_and_keeps_what_is_the_firms_own(client: Client) -> None:
    presets = {one["name"]: one for one in client.ask("GET", "/policy/presets").json["items"]}

    saved = save(client, presets["community"]["policy"])

    assert list(presets) == ["safe", "advisory", "crm-desk", "community", "scheduler"]
    assert saved.status == 200
    assert saved.json["policy"] == presets["community"]["policy"]
    assert saved.json["policy"]["matching"]["internal_domains"] == ["firm.example"]
    assert all(one["title"] and one["sentence"] for one in presets.values())
    assert presets["safe"]["reasons"]["mail.bcc"].startswith("D14")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/policy/versions/1", 404),
        ("/policy/versions/99999999999999999999", 404),
        ("/policy/versions/0", 422),
        ("/policy/versions/first", 422),
        ("/policy/history?after=nonsense", 422),
        ("/audit?after=nonsense", 422),
        ("/audit?limit=201", 422),
    ],
)
def test_what_is_not_there_is_said(client: Client, url: str, status: int) -> None:
    answer = client.ask("GET", url)

    assert (answer.status, answer.json["status"]) == (status, status)


def test_whatever_changes_something_stands_in_the_audit_without_addresses(client: Client) -> None:
    mailbox = client.ask("POST", "/mailboxes", {"address": ADA}).json["id"]
    client.ask("PATCH", f"/mailboxes/{mailbox}", {"owner": "u" + "3" * 32, "backfill": "paused", "off": True})
    client.ask("PATCH", f"/mailboxes/{mailbox}", {"backfill": "running", "off": False})
    client.ask("POST", "/mailboxes", {"address": ADA})
    client.ask("POST", f"/mailboxes/{mailbox}/sync")
    client.ask("POST", f"/mailboxes/{mailbox}/explain", {"message": "<one@client.example>"})
    client.ask("POST", "/exclusions", {"pattern": "news@client.example"})
    client.ask("POST", "/exclusions/take-back", {"pattern": "news@client.example"})
    client.ask("POST", f"/mailboxes/{mailbox}/reset")
    save(client, document(bcc=False))
    client.ask("DELETE", f"/mailboxes/{mailbox}")

    first = client.ask("GET", "/audit?limit=10").json
    entries = [*first["items"], *client.ask("GET", f"/audit?limit=10&after={first['next']}").json["items"]]

    assert sorted((one["action"], one["subject"]) for one in entries) == sorted(
        [
            ("mailbox added", mailbox),
            ("mailbox assigned", mailbox),
            ("backfill paused", mailbox),
            ("mailbox switched off", mailbox),
            ("backfill resumed", mailbox),
            ("mailbox switched on", mailbox),
            ("mailbox asked", mailbox),
            ("mail explained", mailbox),
            ("exclusion added", ""),
            ("exclusion taken back", ""),
            ("mailbox reset", mailbox),
            ("policy saved", "1"),
            ("mailbox removed", mailbox),
        ]
    )
    assert {one["by"] for one in entries} == {"api key"}
    assert "@" not in str(entries)
