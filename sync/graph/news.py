"""One light question to many mailboxes: did anything change since? Pure.

https://learn.microsoft.com/graph/api/user-list-messages
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sync.errors import NeedsPerson, Retry
from sync.graph.answers import Answer, read_batch, refuse
from sync.graph.wire import Request, batch, instant, segment


def changed(asked: Sequence[tuple[str, datetime]]) -> Request:
    """One batch that asks each user for a message changed at a moment or later; part id = place in `asked`."""
    query = "$filter=lastModifiedDateTime%20ge%20{}&$top=1&$select=id"
    return batch([f"/users/{segment(user)}/messages?{query.format(instant(since))}" for user, since in asked])


def read_changed(answer: Answer, ids: Sequence[str]) -> dict[str, bool | Retry | NeedsPerson]:
    """Whether anything changed, by id. What cannot be told counts as changed: a round finds out."""
    found = read_batch(answer, ids, _shows)
    return {one: said if isinstance(said, bool | Retry | NeedsPerson) else True for one, said in found.items()}


def _shows(part: Answer) -> bool:
    if part.status >= 300:
        refuse(part, "the last change of a mailbox")
    # An empty page may lead to one that is not.
    return bool(part.json["value"] or part.json.get("@odata.nextLink"))
