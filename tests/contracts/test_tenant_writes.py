"""Drafts, changes, moves and removal at the simulated tenant."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from dev.tenant import Switches
from tests.contracts.tenant_world import ADA, IMMUTABLE, World, fill, inbox_delta, message, open_world

MESSAGES = f"/users/{ADA}/messages"


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def to(*addresses: str) -> list[dict[str, Any]]:
    return [{"emailAddress": {"address": one}} for one in addresses]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_draft_lies_in_drafts_with_what_it_was_given(world: World) -> None:
    answer = world.ask(
        "POST",
        MESSAGES,
        IMMUTABLE,
        json={
            "subject": "Offer",
            "body": {"contentType": "html", "content": "<p>Dear Cy</p>"},
            "toRecipients": to("cy@client.example"),
            "bccRecipients": to("secret@client.example"),
            "importance": "high",
            "internetMessageHeaders": [{"name": "x-accord", "value": "7"}],
            "singleValueExtendedProperties": [
                {"id": "String {00000000-0000-0000-0000-000000000001} Name Key", "value": "9"}
            ],
        },
    )

    made = answer.json()
    assert answer.status_code == 201
    assert (made["isDraft"], made["isRead"], made["importance"]) == (True, True, "high")
    assert made["internetMessageId"].endswith("@cedar.example>")
    assert made["parentFolderId"] == world.ada.folder("drafts").id
    assert made["bccRecipients"] == [
        {"emailAddress": {"name": "secret@client.example", "address": "secret@client.example"}}
    ]
    found = world.get(message(made["id"], "?$select=internetMessageHeaders"))
    assert found["internetMessageHeaders"] == [{"name": "x-accord", "value": "7"}]
    key = "String {00000000-0000-0000-0000-000000000001} Name Key"
    expanded = world.get(message(made["id"], f"?$expand=singleValueExtendedProperties($filter=id eq '{key}')"))
    assert expanded["singleValueExtendedProperties"] == [{"id": key, "value": "9"}]


def test_a_draft_may_be_put_into_any_folder(world: World) -> None:
    made = world.ask("POST", f"/users/{ADA}/mailFolders/archive/messages", json={"subject": "Here"}).json()

    assert (made["isDraft"], made["parentFolderId"]) == (True, world.ada.folder("archive").id)


def test_a_draft_may_be_made_of_mime() -> None:
    raw = b"From: Ada <ada@cedar.example>\r\nTo: cy@client.example\r\nSubject: Raw\r\n\r\nHello"
    with open_world() as world:
        headers = {"Content-Type": "text/plain"}

        made = world.ask("POST", MESSAGES, headers=headers, data=b64encode(raw)).json()
        wrong = world.ask("POST", MESSAGES, headers=headers, data=b"?!")

        assert (made["subject"], made["toRecipients"][0]["emailAddress"]["address"]) == ("Raw", "cy@client.example")
        assert made["internetMessageId"]
        assert code(wrong) == (400, "ErrorMimeContentInvalidBase64String")


def test_a_change_is_shown_at_once_and_told_by_the_delta(world: World) -> None:
    [mail] = fill(world, 1)
    page = world.get(inbox_delta("?$select=isRead,categories"))

    answer = world.ask(
        "PATCH", message(mail), json={"isRead": True, "categories": ["Client"], "flag": {"flagStatus": "flagged"}}
    )

    assert answer.status_code == 200
    assert (answer.json()["categories"], answer.json()["flag"]) == (["Client"], {"flagStatus": "flagged"})
    [told] = world.get(page["@odata.deltaLink"])["value"]
    assert (told["isRead"], told["categories"]) == (True, ["Client"])


def test_a_draft_may_be_rewritten_and_other_mail_not(world: World) -> None:
    draft = world.ask("POST", MESSAGES, json={"subject": "Old"}).json()["id"]
    [mail] = fill(world, 1)

    changed = world.ask("PATCH", message(draft), json={"subject": "New", "toRecipients": to("cy@client.example")})
    refused = world.ask("PATCH", message(mail), json={"subject": "New"})
    unchanged = world.ask("PATCH", message(mail), json={"subject": "Mail 0", "isRead": True})

    assert changed.json()["subject"] == world.get(message(draft))["subject"] == "New"
    assert code(refused) == (400, "ErrorInvalidRequest")
    assert unchanged.json()["isRead"] is True


def test_a_change_of_an_older_version_is_refused_unless_nobody_looks() -> None:
    for ignores, status in ((False, 412), (True, 200)):
        with open_world(switches=Switches(ignore_if_match=ignores)) as world:
            [mail] = fill(world, 1)
            etag = world.get(message(mail))["@odata.etag"]
            world.ada.mark_read(mail)

            stale = world.ask("PATCH", message(mail), json={"isRead": False}, headers={"If-Match": etag})
            fresh = world.get(message(mail))["@odata.etag"]

            assert stale.status_code == status
            assert (
                world.ask("PATCH", message(mail), json={"isRead": False}, headers={"If-Match": fresh}).status_code
                == 200
            )


def test_deleting_moves_to_deleted_items_and_from_there_for_good(world: World) -> None:
    [mail] = fill(world, 1)

    first = world.ask("DELETE", message(mail))
    between = world.get(message(mail))["parentFolderId"]
    second = world.ask("DELETE", message(mail))

    assert (first.status_code, first.content, second.status_code) == (204, b"", 204)
    assert between == world.ada.folder("deleteditems").id
    assert world.refusal(message(mail)) == (404, "ErrorItemNotFound")


def test_a_permanent_removal_leaves_nothing(world: World) -> None:
    [mail] = fill(world, 1)

    assert world.ask("POST", message(mail, "/permanentDelete")).status_code == 204
    assert world.refusal(message(mail)) == (404, "ErrorItemNotFound")


def test_a_move_gives_a_new_ordinary_id_and_a_copy_another_message(world: World) -> None:
    [mail] = fill(world, 1)
    before = world.get(message(mail))["id"]

    moved = world.ask("POST", message(mail, "/move"), json={"destinationId": "archive"})
    copied = world.ask("POST", message(mail, "/copy"), json={"destinationId": "inbox"})

    assert (moved.status_code, copied.status_code) == (201, 201)
    assert moved.json()["id"] != before and moved.json()["subject"] == copied.json()["subject"] == "Mail 0"
    assert moved.json()["internetMessageId"] == copied.json()["internetMessageId"]
    assert copied.json()["parentFolderId"] == world.ada.folder("inbox").id
    assert len(world.items(MESSAGES)) == 2


def test_what_lies_in_a_folder_is_changed_by_way_of_it_too(world: World) -> None:
    [mail] = fill(world, 1)
    path = f"/users/{ADA}/mailFolders/inbox/messages/{mail}"

    assert world.ask("PATCH", path, json={"isRead": True}).status_code == 200
    assert world.ask("DELETE", path).status_code == 204


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"oops", (400, "RequestBodyRead")),
        (b"[]", (400, "RequestBodyRead")),
        (b'{"colour": "red"}', (400, "RequestBodyRead")),
        (b'{"isRead": "perhaps"}', (400, "RequestBodyRead")),
        (b'{"importance": "urgent"}', (400, "RequestBodyRead")),
        (b'{"toRecipients": "cy@client.example"}', (400, "RequestBodyRead")),
        (b'{"internetMessageHeaders": [{"name": "Subject", "value": "1"}]}', (400, "InvalidInternetMessageHeader")),
        (b'{"subject": "' + b"x" * (4 << 20) + b'"}', (413, "ErrorMessageSizeExceeded")),
    ],
)
def test_a_body_that_cannot_be_taken_is_named(body: bytes, expected: tuple[int, str]) -> None:
    with open_world(judged=False) as world:
        answer = world.ask("POST", MESSAGES, headers={"Content-Type": "application/json"}, data=body)

        assert code(answer) == expected


def test_more_than_five_headers_are_too_many() -> None:
    with open_world() as world:
        six = [{"name": f"x-{at}", "value": "1"} for at in range(6)]

        answer = world.ask("POST", MESSAGES, json={"internetMessageHeaders": six})

        assert code(answer) == (400, "InvalidInternetMessageHeaderCollection")


def test_odd_spellings_of_real_clients_are_taken() -> None:
    with open_world(judged=False) as world:
        odd = {
            "Subject": "Odd",
            "Body": {"ContentType": "HTML", "Content": "<b>Hi</b>"},
            "IsRead": "false",
            "Importance": "High",
            "@odata.type": "#microsoft.graph.message",
            "createdDateTime": "2026-01-01T00:00:00Z",
        }

        made = world.ask("POST", f"/users/{ADA}//Messages", json=odd).json()

        assert (made["subject"], made["body"]["contentType"], made["importance"]) == ("Odd", "html", "high")


def test_writes_pass_through_a_batch(world: World) -> None:
    [mail] = fill(world, 1)
    headers = {"Content-Type": "application/json"}

    answer = world.batch(
        {"id": "1", "method": "PATCH", "url": message(mail), "headers": headers, "body": {"isRead": True}},
        {"id": "2", "method": "POST", "url": MESSAGES, "headers": headers, "body": {"subject": "By batch"}},
        {"id": "3", "method": "DELETE", "url": message(mail)},
    )

    assert sorted((one["id"], one["status"]) for one in answer.json()["responses"]) == [
        ("1", 200),
        ("2", 201),
        ("3", 204),
    ]
