"""Messages of the simulated tenant: properties, ids, attachments, MIME, what is counted."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dev.firm import Attachment, Firm, FirmMailbox, MailFile, Party
from dev.tenant import Switches
from tests.contracts.tenant_world import ADA, IMMUTABLE, NOW, World, fill, inbox, message, open_world

LIST = f"/users/{ADA}/messages"


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


def subjects(items: list[dict[str, object]]) -> list[object]:
    return [item["subject"] for item in items]


# -- properties


def test_a_message_shows_all_its_properties(world: World) -> None:
    mail = world.ada.deliver(
        subject="Offer",
        author="Cy Ward <cy@client.example>",
        sender="desk@client.example",
        to=["Ada Lovell <ada@cedar.example>"],
        cc=["dee@client.example"],
        reply_to=["answers@client.example"],
        body="<p>One</p><p>Two &amp; three</p><script>no()</script>",
        message_id="<1@client.example>",
        sent=NOW - timedelta(seconds=5),
        headers=[("X-Priority", "1"), ("References", "<0@client.example>")],
    )

    found = world.get(message(mail), IMMUTABLE)

    assert found["id"] == mail
    assert found["from"] == {"emailAddress": {"name": "Cy Ward", "address": "cy@client.example"}}
    assert found["sender"]["emailAddress"] == {"name": "desk@client.example", "address": "desk@client.example"}
    assert [one["emailAddress"]["address"] for one in found["ccRecipients"]] == ["dee@client.example"]
    assert [one["emailAddress"]["address"] for one in found["replyTo"]] == ["answers@client.example"]
    assert found["bccRecipients"] == []
    assert (found["receivedDateTime"], found["sentDateTime"]) == ("2026-11-20T09:00:00Z", "2026-11-20T08:59:55Z")
    assert found["body"] == {"contentType": "html", "content": "<p>One</p><p>Two &amp; three</p><script>no()</script>"}
    assert found["bodyPreview"].split() == ["One", "Two", "&", "three"]
    assert found["importance"] == "high"
    assert found["@odata.etag"] == f'W/"{found["changeKey"]}"'
    assert "internetMessageHeaders" not in found and "uniqueBody" not in found


def test_headers_and_unique_body_come_only_when_selected_and_headers_never_in_a_list(world: World) -> None:
    mail = world.ada.deliver(subject="Hi", body="Hello", headers=[("X-One", "1")])

    found = world.get(message(mail, "?$select=internetMessageHeaders,uniqueBody"))

    assert found["internetMessageHeaders"] == [{"name": "X-One", "value": "1"}]
    assert found["uniqueBody"]["content"] == "Hello"
    assert "internetMessageHeaders" not in world.get(LIST + "?$select=subject,internetMessageHeaders")["value"][0]


def test_selecting_gives_these_properties_with_id_and_etag(world: World) -> None:
    fill(world, 1)

    [found] = world.get(LIST + "?$select=subject,isRead")["value"]

    assert set(found) == {"@odata.etag", "id", "subject", "isRead"}


def test_bodies_come_as_text_when_preferred(world: World) -> None:
    mail = world.ada.deliver(subject="Hi", body="<table><tr><td>One</td></tr><tr><td>Two</td></tr></table>")

    answer = world.ask("GET", message(mail, "?$select=body"), 'outlook.body-content-type="text"')

    assert answer.json()["body"]["contentType"] == "text"
    assert answer.json()["body"]["content"].split() == ["One", "Two"]
    assert answer.headers["Preference-Applied"] == 'outlook.body-content-type="text"'


def test_a_preview_ends_at_255_characters(world: World) -> None:
    mail = world.ada.deliver(subject="Long", body="word " * 200)

    assert len(world.get(message(mail))["bodyPreview"]) == 255


def test_a_reply_joins_the_conversation_of_its_root(world: World) -> None:
    root = world.ada.deliver(subject="Offer", message_id="<1@client.example>")
    reply = world.ada.deliver(
        subject="RE: Offer", message_id="<2@client.example>", headers=[("In-Reply-To", "<1@client.example>")]
    )
    third = world.ada.deliver(
        subject="AW: Offer", message_id="<3@client.example>", headers=[("In-Reply-To", "<2@client.example>")]
    )
    other = world.ada.deliver(subject="Offer", message_id="<4@client.example>")

    ids = [world.get(message(one))["conversationId"] for one in (root, reply, third, other)]

    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_blind_copies_show_only_where_the_mail_itself_names_them(world: World) -> None:
    sent = world.ada.deliver(subject="Hi", author=ADA, bcc=["secret@client.example"], folder="sentitems")

    found = world.get(message(sent))

    assert found["bccRecipients"][0]["emailAddress"]["address"] == "secret@client.example"
    assert (found["isRead"], found["isDraft"]) == (True, False)


def test_a_message_may_lack_author_and_message_id(world: World) -> None:
    draft = world.ada.deliver(folder="drafts", message_id="")

    found = world.get(message(draft))

    assert (found["isDraft"], found["from"], found["sender"], found["internetMessageId"]) == (True, None, None, None)


# -- ids


def test_a_move_changes_the_ordinary_id_and_not_the_immutable_one(world: World) -> None:
    [immutable] = fill(world, 1)
    before = world.get(LIST)["value"][0]["id"]

    world.ada.move(immutable, "archive")

    after = world.get(LIST)["value"][0]["id"]
    assert before != after
    assert world.refusal(message(before)) == (404, "ErrorItemNotFound")
    assert world.get(message(after), IMMUTABLE)["id"] == immutable
    assert world.get(message(immutable))["parentFolderId"] == world.ada.folder("archive").id


def test_every_move_makes_a_new_ordinary_id(world: World) -> None:
    [mail] = fill(world, 1)
    seen = [world.get(LIST)["value"][0]["id"]]

    for folder in ("archive", "inbox", "archive"):
        world.ada.move(mail, folder)
        seen.append(world.get(LIST)["value"][0]["id"])

    assert len(set(seen)) == 4


def test_letter_case_counts_in_ids() -> None:
    with open_world(switches=Switches(case_twins=True)) as world:
        first, second = fill(world, 2)

        assert first.lower() == second.lower() and first != second
        assert world.get(message(first, "?$select=subject"))["subject"] == "Mail 0"
        assert world.get(message(second, "?$select=subject"))["subject"] == "Mail 1"


@pytest.mark.parametrize(("id", "expected"), [("nonsense", 400), ("AAMk=", 400)])
def test_a_malformed_id_is_told_from_one_that_is_gone(world: World, id: str, expected: int) -> None:
    [mail] = fill(world, 1)
    world.ada.purge(mail)

    assert world.refusal(message(id)) == (expected, "ErrorInvalidIdMalformed")
    assert world.refusal(message(mail)) == (404, "ErrorItemNotFound")


def test_one_message_may_come_without_its_id() -> None:
    with open_world(switches=Switches(one_message_without_id=True)) as world:
        fill(world, 3)

        assert [("id" in one, one["subject"]) for one in world.items(inbox("?$select=subject"))] == [
            (True, "Mail 2"),
            (True, "Mail 1"),
            (False, "Mail 0"),
        ]


def test_reading_a_message_changes_its_change_key_and_modified_time(world: World) -> None:
    [mail] = fill(world, 1)
    before = world.get(message(mail, "?$select=changeKey,lastModifiedDateTime"))
    world.clock.pass_(minutes=5)

    world.ada.mark_read(mail)

    after = world.get(message(mail, "?$select=changeKey,lastModifiedDateTime,isRead"))
    assert after["isRead"] and after["changeKey"] != before["changeKey"]
    assert after["lastModifiedDateTime"] == "2026-11-20T09:05:00Z"


def test_a_message_is_found_by_way_of_its_own_folder_only(world: World) -> None:
    [mail] = fill(world, 1)

    assert world.get(inbox(f"/{mail}"))["subject"] == "Mail 0"
    assert world.refusal(f"/users/{ADA}/mailFolders/archive/messages/{mail}") == (404, "ErrorItemNotFound")


# -- files


def with_files(world: World) -> str:
    files = [
        Attachment("plan.pdf", "application/pdf", b"%PDF", "", False),
        Attachment("logo.png", "image/png", b"PNG", "logo@1", True),
        Attachment("mail.eml", "message/rfc822", b"Subject: inner\r\n\r\nHi", "", False),
    ]
    return world.ada.deliver(subject="Files", body="See below", attachments=files)


def test_attachments_come_with_their_bytes_unless_left_out(world: World) -> None:
    mail = with_files(world)

    pdf, logo, inner = world.get(message(mail, "/attachments"))["value"]
    light = world.get(message(mail, "/attachments?$select=id,name,contentType,size,isInline"))["value"]

    assert (pdf["@odata.type"], b64decode(pdf["contentBytes"])) == ("#microsoft.graph.fileAttachment", b"%PDF")
    assert (logo["isInline"], logo["contentId"]) == (True, "logo@1")
    assert inner["@odata.type"] == "#microsoft.graph.itemAttachment" and "contentBytes" not in inner
    assert [one["name"] for one in light] == ["plan.pdf", "logo.png", "mail.eml"]
    assert not any("contentBytes" in one for one in light)


def test_one_attachment_and_its_bytes(world: World) -> None:
    mail = with_files(world)
    pdf = world.get(message(mail, "/attachments"))["value"][0]["id"]

    assert world.get(message(mail, f"/attachments/{pdf}"))["name"] == "plan.pdf"
    assert world.ask("GET", message(mail, f"/attachments/{pdf}/$value")).content == b"%PDF"
    assert world.refusal(message(mail, "/attachments/nonsense")) == (400, "ErrorInvalidIdMalformed")


def test_inline_pictures_alone_are_no_attachments(world: World) -> None:
    files = with_files(world)
    logo = Attachment("logo.png", "image/png", b"PNG", "logo@1", True)
    inline = world.ada.deliver(subject="Logo", attachments=[logo])

    assert world.get(message(files, "?$select=hasAttachments"))["hasAttachments"] is True
    assert world.get(message(inline, "?$select=hasAttachments"))["hasAttachments"] is False


def test_a_message_expands_its_attachments(world: World) -> None:
    found = world.get(message(with_files(world), "?$select=subject&$expand=attachments"))

    assert [one["name"] for one in found["attachments"]] == ["plan.pdf", "logo.png", "mail.eml"]


def test_mime_is_the_raw_mail_or_written_from_its_fields(world: World) -> None:
    raw = b"Subject: raw\r\nX-Odd: \xff\r\n\r\nBody"
    party = Party("", "cy@client.example")
    file = MailFile("a.eml", "raw", party, None, (), (), (), (), "", None, NOW, "Body", False, (), (), raw)
    loaded, made = world.ada.deliver(file), world.ada.deliver(subject="Made", author="cy@client.example", body="Hello")

    first = world.ask("GET", message(loaded, "/$value"))
    second = world.ask("GET", message(made, "/$value"))

    assert (first.content, first.headers["Content-Type"]) == (raw, "text/plain")
    assert b"Subject: Made" in second.content and b"Hello" in second.content


def test_mime_of_a_made_mail_bears_the_headers_it_was_given(world: World) -> None:
    mail = world.ada.deliver(
        subject="Away", author="cy@client.example", headers=[("Auto-Submitted", "auto-replied"), ("X-Key", "7")]
    )

    mime = world.ask("GET", message(mail, "/$value")).text

    assert "Auto-Submitted: auto-replied" in mime and "X-Key: 7" in mime


# -- what is counted and told apart


def test_every_body_shown_is_counted_and_named(world: World) -> None:
    light, body, mime, listed = fill(world, 4)
    world.get(LIST + "?$select=subject")
    assert world.tenant.bodies_read == set()

    world.get(message(light, "?$select=subject"))
    world.get(message(body, "?$select=body"))
    world.ask("GET", message(mime, "/$value"))
    world.get(f"{LIST}?$filter=subject eq 'Mail 3'")

    assert world.tenant.bodies_read == {(ADA, body), (ADA, mime), (ADA, listed)}
    assert world.tenant.counts()["body_reads"] == 3


def test_calls_units_and_routes_are_counted(world: World) -> None:
    before = world.tenant.counts()

    world.get(LIST)
    world.refusal("/groups")

    after = world.tenant.counts()
    assert after["calls"] - before["calls"] == after["units"] - before["units"] == 2
    assert after["GET users/{}/messages"] == 1
    assert after["bytes_out"] > before["bytes_out"]


def test_a_client_finds_its_own_request_id_in_answer_and_error(world: World) -> None:
    own = "4d8e4f3c-0000-4000-8000-000000000001"

    good = world.ask("GET", LIST, headers={"client-request-id": own})
    bad = world.ask("GET", "/users/nobody", headers={"client-request-id": own})

    assert good.headers["client-request-id"] == own
    assert good.headers["request-id"] != bad.headers["request-id"]
    assert bad.json()["error"]["innerError"]["client-request-id"] == own


@pytest.mark.parametrize(
    "path",
    [
        "/v1.0//users/ada@cedar.example/MAILFOLDERS/Inbox/Messages?%24select=subject&$top=5",
        "/V1.0/Users('ada@cedar.example')/mailFolders('inbox')/messages?select=subject&top=5",
        "/v1.0/users/a.lovell%40cedar.example/mailFolders/INBOX/messages/?$SELECT=subject&$Top=5",
    ],
)
def test_odd_spellings_of_real_clients_are_taken(path: str) -> None:
    with open_world(judged=False) as world:
        fill(world, 2)

        odd = world.get("https://graph.microsoft.com" + path)

        assert subjects(odd["value"]) == ["Mail 1", "Mail 0"]


def test_broken_mail_is_served_all_the_same() -> None:
    odd = "half \ud83d and zero \x00"
    party = Party(odd, odd)
    early = datetime(1, 1, 1, tzinfo=UTC)
    late = datetime(9999, 12, 31, 23)  # noqa: DTZ001 - a naive time is part of the oddity
    mails = [
        MailFile(f"{at}", odd, party, party, (party,), (), (), (), odd, when, when, odd, html, (), ((odd, odd),), b"")
        for at, (when, html) in enumerate([(early, True), (late, False), (NOW, True)])
    ]
    twins = FirmMailbox("eve@cedar.example", "Eve", (), (*mails, *mails))
    with open_world() as world:
        world.tenant.load(Firm("Broken", ("cedar.example",), (twins,), ()))

        found = world.items("/users/eve@cedar.example/messages?$select=subject,body,bodyPreview,internetMessageId")

        assert len({one["id"] for one in found}) == 6
        assert {one["subject"] for one in found} == {"half ? and zero \x00"}
