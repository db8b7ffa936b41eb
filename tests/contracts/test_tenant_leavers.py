"""People who leave, lose their licence or change their address while the tenant runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.tenant_world import ADA, BOB, World, fill, inbox, inbox_delta, open_world

NEW = "ada.byron@cedar.example"


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def test_a_removed_user_is_gone_from_directory_and_exchange(world: World) -> None:
    fill(world, 1)
    link = world.get(inbox_delta("?$select=subject"))["@odata.deltaLink"]

    world.tenant.remove_user(ADA)

    assert world.refusal(f"/users/{ADA}") == (404, "Request_ResourceNotFound")
    assert world.refusal(inbox()) == world.refusal(link) == (404, "ErrorInvalidUser")
    assert [one["userPrincipalName"] for one in world.items("/users")] == [BOB]
    with pytest.raises(KeyError, match=r"no user 'ada@cedar\.example'"):
        world.tenant.remove_user(ADA)


def test_a_name_that_is_free_again_may_be_given_away(world: World) -> None:
    before = world.get(f"/users/{ADA}")["id"]
    world.tenant.remove_user(ADA)

    world.tenant.add_user(ADA, "Another Ada")

    assert world.get(f"/users/{ADA}")["displayName"] == "Another Ada"
    assert world.refusal(f"/users/{before}/messages") == (404, "ErrorInvalidUser")


def test_without_a_licence_the_mailbox_is_closed_and_with_it_open_as_it_was(world: World) -> None:
    fill(world, 2)

    world.tenant.remove_licence(ADA)
    closed = world.refusal(inbox())
    user = world.get(f"/users/{ADA}")
    world.tenant.restore_licence(ADA)

    assert closed == (404, "MailboxNotEnabledForRESTAPI")
    assert (user["userPrincipalName"], user["mail"]) == (ADA, None)
    assert len(world.items(inbox())) == 2


def test_a_new_address_keeps_the_id_and_leaves_the_old_one_as_an_alias(world: World) -> None:
    fill(world, 1)
    before = world.get(f"/users/{ADA}")["id"]

    world.tenant.rename_user(ADA, NEW)

    user = world.get(f"/users/{before}?$select=id,userPrincipalName,mail,proxyAddresses")
    assert (user["id"], user["userPrincipalName"], user["mail"]) == (before, NEW, NEW)
    assert user["proxyAddresses"] == [f"SMTP:{NEW}", "smtp:a.lovell@cedar.example", f"smtp:{ADA}"]
    assert len(world.items(f"/users/{NEW}/messages")) == len(world.items(f"/users/{ADA}/messages")) == 1
    with pytest.raises(ValueError, match=r"has bob@cedar\.example already"):
        world.tenant.rename_user(NEW, BOB)


def test_mail_to_the_old_address_still_arrives(world: World) -> None:
    world.tenant.rename_user(ADA, NEW)
    body = {"message": {"subject": "Hi", "toRecipients": [{"emailAddress": {"address": ADA}}]}}

    world.ask("POST", f"/users/{BOB}/sendMail", json=body)

    assert [one["subject"] for one in world.items(f"/users/{NEW}/messages")] == ["Hi"]
