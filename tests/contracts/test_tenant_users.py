"""Users and folders of the simulated tenant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.tenant_world import ADA, BOB, World, fill, message, open_world

WELL_KNOWN = (
    "archive clutter conflicts conversationhistory deleteditems drafts inbox junkemail localfailures msgfolderroot "
    "outbox recoverableitemsdeletions scheduled searchfolders sentitems serverfailures syncissues"
)
FOLDERS = f"/users/{ADA}/mailFolders"


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


@pytest.mark.parametrize("name", [ADA, "Ada@Cedar.example", "a.lovell@cedar.example"])
def test_a_user_is_found_by_any_of_his_addresses(world: World, name: str) -> None:
    found = world.get(f"/users/{name}?$select=id,mail,proxyAddresses")

    assert found["mail"] == ADA
    assert found["proxyAddresses"] == [f"SMTP:{ADA}", "smtp:a.lovell@cedar.example"]
    assert world.get(f"/users/{found['id']}")["userPrincipalName"] == ADA


def test_users_come_in_pages_with_a_token_for_the_next(world: World) -> None:
    for at in range(3):
        world.tenant.add_user(f"user{at}@cedar.example", f"User {at}")

    pages = world.pages("/users?$top=2&$select=mail")

    assert [len(page["value"]) for page in pages] == [2, 2, 1]
    assert "skiptoken" in pages[0]["@odata.nextLink"]
    assert pages[0]["value"] == [{"mail": ADA}, {"mail": BOB}]


def test_a_page_that_is_exactly_full_leads_nowhere(world: World) -> None:
    assert [len(page["value"]) for page in world.pages("/users?$top=2")] == [2]


def test_users_are_filtered(world: World) -> None:
    assert [one["mail"] for one in world.get(f"/users?$filter=mail eq '{BOB}'")["value"]] == [BOB]


def test_somebody_unknown_is_a_404_of_the_directory_and_of_exchange(world: World) -> None:
    assert world.refusal("/users/nobody@cedar.example") == (404, "Request_ResourceNotFound")
    assert world.refusal("/users/nobody@cedar.example/messages") == (404, "ErrorInvalidUser")


def test_a_user_without_a_mailbox_is_told_from_one_who_is_not_there(world: World) -> None:
    world.tenant.add_user("guest@cedar.example", "Guest", mailbox=False)

    assert world.get("/users/guest@cedar.example")["mail"] is None
    assert world.refusal("/users/guest@cedar.example/messages") == (404, "MailboxNotEnabledForRESTAPI")


def test_an_address_belongs_to_one_user_only(world: World) -> None:
    with pytest.raises(ValueError, match=r"has a\.lovell@cedar\.example already"):
        world.tenant.add_user("eve@cedar.example", "Eve", ("a.lovell@cedar.example",))


@pytest.mark.parametrize("name", WELL_KNOWN.split())
def test_every_well_known_name_leads_to_a_folder(world: World, name: str) -> None:
    found = world.get(f"{FOLDERS}/{name}")

    assert world.get(f"{FOLDERS}/{found['id']}")["displayName"] == found["displayName"]


def test_a_folder_that_was_removed_is_gone_by_name_and_by_id(world: World) -> None:
    clutter = world.get(f"{FOLDERS}/clutter")["id"]
    world.ada.remove_folder("clutter")

    assert world.refusal(f"{FOLDERS}/clutter") == (404, "ErrorFolderNotFound")
    assert world.refusal(f"{FOLDERS}/{clutter}") == (404, "ErrorItemNotFound")
    assert world.refusal(f"{FOLDERS}/what=ever") == (400, "ErrorInvalidIdMalformed")


def test_hidden_folders_show_only_when_asked_for(world: World) -> None:
    plain = {one["displayName"] for one in world.items(FOLDERS)}

    every = {one["displayName"] for one in world.items(FOLDERS + "?includeHiddenFolders=true&$top=50")}

    assert every - plain == {"Clutter", "Scheduled"}
    assert {"Inbox", "Sent Items", "Deleted Items", "Drafts", "Archive"} <= plain


def test_folders_below_a_folder_and_their_counts(world: World) -> None:
    clients = world.ada.add_folder("Clients", "inbox")
    fill(world, 3, folder="inbox/Clients")
    world.ada.mark_read(world.ada.folder(clients).messages.rows[0][1])

    [found] = world.get(f"{FOLDERS}/inbox/childFolders")["value"]

    assert (found["displayName"], found["totalItemCount"], found["unreadItemCount"]) == ("Clients", 3, 2)
    assert world.get(f"{FOLDERS}/inbox")["childFolderCount"] == 1
    assert world.get(f"{FOLDERS}/inbox/childFolders/{clients}")["id"] == clients


def test_ten_folders_to_a_page(world: World) -> None:
    for at in range(12):
        world.ada.add_folder(f"Folder {at:02}", "inbox")

    pages = world.pages(f"{FOLDERS}/inbox/childFolders?$select=displayName")

    assert [len(page["value"]) for page in pages] == [10, 2]


def test_the_folder_delta_shows_the_whole_tree_and_then_its_changes(world: World) -> None:
    below = world.ada.add_folder("Clients", "inbox")
    first = world.pages(f"{FOLDERS}/delta", "odata.maxpagesize=100")[-1]
    link = first["@odata.deltaLink"]

    world.ada.rename_folder(below, "Customers")
    lost = world.ada.add_folder("Short lived")
    seen = world.get(link)
    world.ada.remove_folder(lost)
    gone = world.get(seen["@odata.deltaLink"])

    names = {one["displayName"]: one["parentFolderId"] for one in first["value"]}
    assert names["Clients"] == world.ada.folder("inbox").id
    assert "Clutter" not in names and "Top of Information Store" not in names
    assert [one["displayName"] for one in seen["value"]] == ["Customers", "Short lived"]
    assert gone["value"] == [
        {"@odata.type": "#microsoft.graph.mailFolder", "id": lost, "@removed": {"reason": "deleted"}}
    ]
    assert world.get(gone["@odata.deltaLink"])["value"] == []


def test_a_removed_folder_takes_its_messages_along(world: World) -> None:
    world.ada.add_folder("Old", "inbox")
    [mail] = fill(world, 1, folder="inbox/Old")

    world.ada.remove_folder("inbox/Old")

    assert world.refusal(message(mail)) == (404, "ErrorItemNotFound")
    assert world.items(f"/users/{ADA}/messages") == []


def test_a_folder_moved_below_another_is_told_with_its_new_parent(world: World) -> None:
    old = world.ada.add_folder("Old", "inbox")
    link = world.pages(f"{FOLDERS}/delta", "odata.maxpagesize=100")[-1]["@odata.deltaLink"]

    world.ada.move_folder(old, "deleteditems")

    [told] = world.get(link)["value"]
    assert (told["id"], told["parentFolderId"]) == (old, world.ada.folder("deleteditems").id)
