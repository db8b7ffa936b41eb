"""The routes of Microsoft Graph v1.0 that the tenant imitates."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dev.tenant import delta, files, messages, sending, tree, uploads, users, writing
from dev.tenant.exchange import Answer

Route = Callable[..., Answer]

# {} takes any segment; literal patterns stand before the general ones they would be taken by.
# What lies below users/{}/messages/{} is found by way of users/{}/mailfolders/{}/messages/{} too.
ROUTES: tuple[tuple[str, dict[str, Route]], ...] = (
    ("users", {"GET": users.everyone}),
    ("users/{}", {"GET": users.one}),
    ("users/{}/sendmail", {"POST": sending.send_mail}),
    ("users/{}/mailfolders", {"GET": tree.top}),
    ("users/{}/mailfolders/delta", {"GET": delta.folders}),
    ("users/{}/mailfolders/{}", {"GET": tree.one}),
    ("users/{}/mailfolders/{}/childfolders", {"GET": tree.below}),
    ("users/{}/mailfolders/{}/childfolders/{}", {"GET": tree.one_below}),
    ("users/{}/mailfolders/{}/messages", {"GET": messages.list_folder, "POST": writing.create_in}),
    ("users/{}/mailfolders/{}/messages/delta", {"GET": delta.messages}),
    ("users/{}/mailfolders/{}/messages/$count", {"GET": messages.count_folder}),
    ("users/{}/mailfolders/{}/messages/{}", {"GET": messages.one_in_folder}),
    ("users/{}/messages", {"GET": messages.list_all, "POST": writing.create}),
    ("users/{}/messages/delta", {"GET": messages.refuse_mailbox_delta}),
    ("users/{}/messages/$count", {"GET": messages.count_all}),
    ("users/{}/messages/{}", {"GET": messages.one, "PATCH": writing.change, "DELETE": writing.remove}),
    ("users/{}/messages/{}/$value", {"GET": messages.value}),
    ("users/{}/messages/{}/move", {"POST": writing.move}),
    ("users/{}/messages/{}/copy", {"POST": writing.copy}),
    ("users/{}/messages/{}/permanentdelete", {"POST": writing.purge}),
    ("users/{}/messages/{}/send", {"POST": sending.send}),
    ("users/{}/messages/{}/createreply", {"POST": sending.create_reply}),
    ("users/{}/messages/{}/createreplyall", {"POST": sending.create_reply_all}),
    ("users/{}/messages/{}/createforward", {"POST": sending.create_forward}),
    ("users/{}/messages/{}/reply", {"POST": sending.reply}),
    ("users/{}/messages/{}/replyall", {"POST": sending.reply_all}),
    ("users/{}/messages/{}/forward", {"POST": sending.forward}),
    ("users/{}/messages/{}/attachments", {"GET": files.everyone, "POST": uploads.attach}),
    ("users/{}/messages/{}/attachments/$count", {"GET": files.count}),
    ("users/{}/messages/{}/attachments/createuploadsession", {"POST": uploads.open_session}),
    ("users/{}/messages/{}/attachments/{}", {"GET": files.one, "DELETE": uploads.detach}),
    ("users/{}/messages/{}/attachments/{}/$value", {"GET": files.value}),
)
_PATTERNS = tuple((pattern, tuple(pattern.split("/")), routes) for pattern, routes in ROUTES)


@lru_cache(maxsize=1024)
def found(method: str, segments: tuple[str, ...]) -> tuple[str, Route | None, tuple[str, ...]] | None:
    """The pattern of a path, its route for the method if there is one, and what stands in its places."""
    plain = _below_message(segments)
    for pattern, names, routes in _PATTERNS:
        places = _matched(names, segments)
        if places is None and plain is not None and (len(names) > 4 or method != "GET"):
            places = _matched(names, plain)
        if places is not None and (method in routes or plain is None):
            return pattern, routes.get(method), tuple(places)
    return None


def _matched(names: tuple[str, ...], segments: tuple[str, ...]) -> list[str] | None:
    if len(names) != len(segments):
        return None
    places = []
    for name, segment in zip(names, segments, strict=True):
        if name == "{}":
            places.append(segment)
        elif name != segment.lower():
            return None
    return places


def _below_message(segments: tuple[str, ...]) -> tuple[str, ...] | None:
    """users/x/mailFolders/y/messages/z/... without the folder; what is read itself is looked for in its folder."""
    lower = [one.lower() for one in segments[:5:2]]
    if len(segments) > 5 and lower == ["users", "mailfolders", "messages"]:
        return segments[:2] + segments[4:]
    return None
