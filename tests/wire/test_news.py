"""The light question to many mailboxes, and what its answers mean."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from sync.errors import AccessDenied, BadItem, Throttled, Unavailable
from sync.graph.answers import Answer
from sync.graph.news import changed, read_changed
from tests.builders import NOON


def answer(*parts):
    """A batch with these (status, headers, body), in reverse order."""
    said = [{"id": str(at), "status": one[0], "headers": one[1], "body": one[2]} for at, one in enumerate(parts)]
    return Answer(200, {}, orjson.dumps({"responses": said[::-1]}))


def told(status, headers=None, **body):
    """What one mailbox's part of a batch means."""
    return read_changed(answer((status, headers or {}, body)), ["ada"])["ada"]


def test_one_batch_asks_each_user_for_one_id_from_his_own_moment_on():
    request = changed([("guid-1", NOON), ("b n@firm.example", NOON + timedelta(seconds=61.5))])

    assert (request.method, request.units) == ("POST", 2)
    parts = orjson.loads(request.body)["requests"]
    query = "$top=1&$select=id"
    assert [part["url"] for part in parts] == [
        f"/users/guid-1/messages?$filter=lastModifiedDateTime%20ge%202026-11-20T12:00:00Z&{query}",
        f"/users/b%20n@firm.example/messages?$filter=lastModifiedDateTime%20ge%202026-11-20T12:01:01Z&{query}",
    ]
    assert all("ImmutableId" in part["headers"]["Prefer"] for part in parts)


def test_a_user_that_no_id_is_goes_nowhere():
    with pytest.raises(BadItem):
        changed([("..", NOON)])


def test_a_message_is_news_and_an_empty_list_is_not():
    both = answer((200, {}, {"value": [{"id": "AAMk1"}]}), (200, {}, {"value": []}))

    assert read_changed(both, ["ada", "ben"]) == {"ada": True, "ben": False}


def test_an_empty_page_that_leads_on_may_hold_news():
    assert told(200, value=[], **{"@odata.nextLink": "https://graph.microsoft.com/v1.0/next"}) is True


def test_a_refusal_stands_for_its_mailbox_alone():
    two = answer((429, {"Retry-After": "90"}, {}), (200, {}, {"value": []}))

    said = read_changed(two, ["ada", "ben"])

    assert isinstance(said["ada"], Throttled)
    assert said["ada"].after == 90
    assert said["ben"] is False
    assert isinstance(told(403, error={"code": "ErrorAccessDenied"}), AccessDenied)
    assert isinstance(told(504), Unavailable)


@pytest.mark.parametrize("status", [400, 404])
def test_what_cannot_be_told_counts_as_news(status):
    assert told(status, error={"code": "ErrorItemNotFound"}) is True


def test_an_answer_of_another_shape_counts_as_news():
    assert told(200, values=[]) is True


def test_a_mailbox_that_the_answer_forgot_is_unavailable():
    assert isinstance(read_changed(answer(), ["ada"])["ada"], Unavailable)


def test_a_batch_refused_as_a_whole_says_so():
    with pytest.raises(Throttled):
        read_changed(Answer(429, {"retry-after": "7"}), ["ada"])
