"""Sending at the simulated tenant: drafts, mail at once, answers, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dev.firm import Attachment
from dev.tenant import Fault, Sent, Switches
from tests.contracts.tenant_world import ADA, BOB, IMMUTABLE, NOW, World, message, open_world
from tests.contracts.test_tenant_writes import MESSAGES, code, to

SEND = f"/users/{ADA}/sendMail"
CY = "cy@client.example"


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def draft(world: World, **fields: Any) -> str:
    body = {"subject": "Offer", "toRecipients": to(CY), **fields}
    return world.ask("POST", MESSAGES, IMMUTABLE, json=body).json()["id"]


def folder(world: World, address: str, place: str) -> list[str]:
    box = world.tenant.user(address)
    return [one.mail.subject for _, _, one in box.folder(place).messages.rows]


def test_a_sent_draft_moves_to_sent_items_and_arrives_without_its_blind_copies(world: World) -> None:
    own = draft(world, toRecipients=to(CY, BOB), bccRecipients=to("dee@client.example"))
    named = world.get(message(own))["internetMessageId"]

    answer = world.ask("POST", message(own, "/send"))

    assert (answer.status_code, answer.content, "Content-Type" in answer.headers) == (202, b"", False)
    copy = world.get(message(own))
    assert (copy["isDraft"], copy["parentFolderId"]) == (False, world.ada.folder("sentitems").id)
    assert copy["internetMessageId"] == named
    assert copy["from"]["emailAddress"] == {"name": "Ada Lovell", "address": ADA}
    assert copy["bccRecipients"][0]["emailAddress"]["address"] == "dee@client.example"
    [arrived] = world.items(f"/users/{BOB}/messages")
    assert (arrived["internetMessageId"], arrived["bccRecipients"], arrived["isRead"]) == (named, [], False)
    assert world.tenant.outbox == [
        Sent(NOW, ADA, ADA, (CY, BOB), (), ("dee@client.example",), "Offer", named),
    ]


def test_a_draft_that_is_gone_was_sent(world: World) -> None:
    own = draft(world)
    ordinary = world.get(message(own))["id"]

    world.ask("POST", message(ordinary, "/send"))

    assert code(world.ask("POST", message(ordinary, "/send"))) == (404, "ErrorItemNotFound")
    assert code(world.ask("POST", message(own, "/send"))) == (400, "ErrorInvalidRequest")
    assert len(world.tenant.outbox) == 1


@pytest.mark.parametrize(("save", "kept"), [(True, ["Hi"]), (False, []), (None, ["Hi"])])
def test_mail_sent_at_once_is_kept_unless_told_not_to(world: World, save: bool | None, kept: list[str]) -> None:
    body: dict[str, Any] = {"message": {"subject": "Hi", "toRecipients": to(BOB)}}
    if save is not None:
        body["saveToSentItems"] = save

    answer = world.ask("POST", SEND, json=body)

    assert (answer.status_code, answer.content) == (202, b"")
    assert (folder(world, ADA, "sentitems"), folder(world, BOB, "inbox")) == (kept, ["Hi"])


def test_an_action_is_found_in_any_letter_case() -> None:
    with open_world(judged=False) as world:
        odd = {"Message": {"Subject": "Odd", "ToRecipients": to(BOB)}, "SaveToSentItems": "false"}

        assert world.ask("POST", f"/users/{ADA}/sendmail", json=odd).status_code == 202
        assert folder(world, ADA, "sentitems") == []


@pytest.mark.parametrize("people", [[], ["nonsense"], [CY, "two words@client.example"]])
def test_a_mail_to_nobody_or_to_what_is_no_address_is_refused(world: World, people: list[str]) -> None:
    answer = world.ask("POST", SEND, json={"message": {"subject": "Hi", "toRecipients": to(*people)}})

    assert code(answer) == (400, "ErrorInvalidRecipients")
    assert world.tenant.outbox == []


def test_sending_as_somebody_else_needs_the_right(world: World) -> None:
    body = {"message": {"subject": "Hi", "toRecipients": to(CY), "from": to(BOB)[0]}}

    refused = world.ask("POST", SEND, json=body)
    account = world.tenant.find(ADA)
    assert account is not None
    world.tenant.send_as.add((account.id, BOB))
    taken = world.ask("POST", SEND, json=body)

    assert (code(refused), taken.status_code) == ((403, "ErrorSendAsDenied"), 202)
    assert [(one.mailbox, one.author) for one in world.tenant.outbox] == [(ADA, BOB)]


def test_an_unknown_colleague_and_too_many_recipients_come_back_undeliverable() -> None:
    with open_world(switches=Switches(most_recipients=3)) as world:
        world.ask("POST", SEND, json={"message": {"subject": "One", "toRecipients": to("gone@cedar.example", BOB)}})
        many = to(*(f"{at}@client.example" for at in range(3)), BOB)
        world.ask("POST", SEND, json={"message": {"subject": "Two", "toRecipients": many}})

        assert sorted(folder(world, ADA, "inbox")) == ["Undeliverable: One", "Undeliverable: Two"]
        assert folder(world, BOB, "inbox") == ["One"]
        assert [len(one.bounced) for one in world.tenant.outbox] == [1, 4]


def test_transport_may_take_its_time() -> None:
    with open_world(switches=Switches(send_seconds=30)) as world:
        own = draft(world, toRecipients=to(BOB))
        world.ask("POST", message(own, "/send"))

        at_first = (folder(world, ADA, "outbox"), folder(world, ADA, "sentitems"), folder(world, BOB, "inbox"))
        world.clock.pass_(seconds=31)
        world.get(MESSAGES)

        assert at_first == (["Offer"], [], [])
        assert (folder(world, ADA, "outbox"), folder(world, ADA, "sentitems")) == ([], ["Offer"])
        assert folder(world, BOB, "inbox") == ["Offer"]
        assert world.get(message(own))["sentDateTime"] == "2026-11-20T09:00:31Z"


def test_the_sent_copy_may_have_other_ids_than_the_draft() -> None:
    with open_world(switches=Switches(sent_gets_new_id=True, sent_gets_new_message_id=True)) as world:
        own = draft(world, internetMessageHeaders=[{"name": "x-key", "value": "7"}])
        named = world.get(message(own))["internetMessageId"]

        world.ask("POST", message(own, "/send"))

        assert world.refusal(message(own)) == (404, "ErrorItemNotFound")
        [copy] = world.items(f"/users/{ADA}/mailFolders/sentitems/messages")
        assert copy["internetMessageId"] != named
        shown = world.get(message(copy["id"], "?$select=internetMessageHeaders"))
        assert {"name": "x-key", "value": "7"} in shown["internetMessageHeaders"]


def test_a_reply_is_addressed_quoted_and_threaded(world: World) -> None:
    root = world.ada.deliver(
        subject="Review",
        author="Cy <cy@client.example>",
        to=[ADA, BOB],
        cc=["dee@client.example"],
        body="<p>See plan</p>",
        message_id="<1@client.example>",
    )

    reply = world.ask("POST", message(root, "/createReply"), IMMUTABLE, json={"comment": "Yes"}).json()
    everybody = world.ask("POST", message(root, "/createReplyAll"), IMMUTABLE, json={}).json()

    assert (reply["subject"], reply["isDraft"]) == ("RE: Review", True)
    assert [one["emailAddress"]["address"] for one in reply["toRecipients"]] == [CY]
    # The comment is missing from the draft: a known issue of the real service.
    assert "See plan" in reply["body"]["content"] and "Yes" not in reply["body"]["content"]
    assert [one["emailAddress"]["address"] for one in everybody["toRecipients"]] == [CY, BOB]
    assert [one["emailAddress"]["address"] for one in everybody["ccRecipients"]] == ["dee@client.example"]
    assert reply["conversationId"] == world.get(message(root))["conversationId"]


def test_answers_may_be_sent_at_once_with_their_comment(world: World) -> None:
    root = world.ada.deliver(
        subject="Review", author=BOB, to=[ADA], attachments=[Attachment("plan.pdf", "application/pdf", b"%PDF")]
    )

    answers = [
        world.ask("POST", message(root, "/reply"), json={"comment": "Yes"}),
        world.ask("POST", message(root, "/replyAll"), json={"comment": "All"}),
        world.ask("POST", message(root, "/forward"), json={"comment": "FYI", "toRecipients": to(BOB)}),
    ]

    assert [one.status_code for one in answers] == [202, 202, 202]
    arrived = [one.mail for one in world.tenant.user(BOB).messages.values()]
    assert sorted(one.subject for one in arrived) == ["FW: Review", "RE: Review", "RE: Review"]
    assert all(word in "".join(one.body for one in arrived) for word in ("Yes", "All", "FYI"))
    assert [len(one.attachments) for one in arrived if one.subject == "FW: Review"] == [1]


def test_a_send_whose_answer_is_lost_may_have_been_carried_out_or_not() -> None:
    for committed, sent in ((True, 1), (False, 0)):
        with open_world() as world:
            own = draft(world)
            world.tenant.faults.add(Fault("POST .*/send", "gateway_timeout", committed=committed))

            answer = world.ask("POST", message(own, "/send"))

            assert answer.status_code == 504
            assert len(world.tenant.outbox) == sent
