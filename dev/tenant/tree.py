"""Mail folders: lists and one folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dev.tenant.call import Call, keyed
from dev.tenant.exchange import Answer, Json
from dev.tenant.filters import Type, filter_of
from dev.tenant.folders import Folder
from dev.tenant.lookup import folder_of, not_found
from dev.tenant.mailbox import Mailbox
from dev.tenant.messages import PAGE
from dev.tenant.odata import MOST, next_query, refuse_unbuilt, selected

FOLDER_PROPERTIES = (
    *("id", "displayName", "parentFolderId", "childFolderCount", "unreadItemCount", "totalItemCount", "isHidden"),
)
_RELATIONS = (
    "childFolders",
    "messages",
    "messageRules",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
)
_FILTERS: dict[str, Type] = {"displayName": "text"}


def top(call: Call, user: str) -> Answer:
    """GET /users/{id}/mailFolders: the folders right below the root."""
    mailbox = call.past(user)
    return _page(call, mailbox, mailbox.known["msgfolderroot"], keyed("users", user) + "/mailFolders")


def below(call: Call, user: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/childFolders."""
    mailbox = call.past(user)
    path = f"{keyed('users', user)}/{keyed('mailFolders', place)}/childFolders"
    return _page(call, mailbox, folder_of(mailbox, place).id, path)


def one(call: Call, user: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id or well-known name}."""
    mailbox = call.mailbox(user)
    refuse_unbuilt(call.query, "$expand")
    names = selected(call.query, (*FOLDER_PROPERTIES, *_RELATIONS), FOLDER_PROPERTIES, "mailFolder")
    out = folder_shown(mailbox, folder_of(mailbox, place), names)
    return Answer({"@odata.context": call.context(keyed("users", user) + "/mailFolders/$entity"), **out})


def one_below(call: Call, user: str, above: str, place: str) -> Answer:
    """GET /users/{id}/mailFolders/{id}/childFolders/{id}."""
    mailbox = call.mailbox(user)
    if folder_of(mailbox, place).parent != folder_of(mailbox, above).id:
        raise not_found()
    return one(call, user, place)


def folder_shown(mailbox: Mailbox, folder: Folder, names: tuple[str, ...]) -> Json:
    """A folder as JSON."""
    every: dict[str, Callable[[], Any]] = {
        "id": lambda: folder.id,
        "displayName": lambda: folder.name,
        "parentFolderId": lambda: folder.parent,
        "childFolderCount": lambda: len(mailbox.children(folder.id, hidden=False)),
        "unreadItemCount": lambda: folder.unread,
        "totalItemCount": lambda: len(folder.messages),
        "isHidden": lambda: folder.hidden,
    }
    return {name: every[name]() for name in dict.fromkeys(("id", *names)) if name in every}


def _page(call: Call, mailbox: Mailbox, parent: str, path: str) -> Answer:
    refuse_unbuilt(call.query, "$expand", "$search", "$orderby", "$skiptoken")
    names = selected(call.query, (*FOLDER_PROPERTIES, *_RELATIONS), FOLDER_PROPERTIES, "mailFolder")
    found = mailbox.children(parent, hidden=call.query.flag("includehiddenfolders"))
    if call.query.get("$filter").strip():
        rule = filter_of(call.query.get("$filter"), _FILTERS, FOLDER_PROPERTIES)
        found = [folder for folder in found if rule.test({"displayName": folder.name}.get)]
    size = call.page_size(call.query.number("$top", 1, MOST), PAGE)
    skip = call.query.number("$skip", 0) or 0
    out: Json = {"@odata.context": call.context(path)}
    if call.query.flag("$count"):
        out["@odata.count"] = len(found)
    if len(found) > skip + size:
        out["@odata.nextLink"] = f"{call.base}/{call.path}?{next_query(call.query_text, skip=str(skip + size))}"
    out["value"] = [folder_shown(mailbox, folder, names) for folder in found[skip : skip + size]]
    return Answer(out)
