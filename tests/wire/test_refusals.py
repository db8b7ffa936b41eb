"""What an answer, or a part of a batch, asks to wait."""

from __future__ import annotations

import orjson
import pytest

from sync.graph import wire
from sync.graph.answers import Answer
from sync.graph.refusals import heard
from sync.graph.wire import Request

SINGLE = Request("GET", wire.ROOT + "/users/u/messages")
BATCH = wire.bodies("u", ["a", "b"])


def an_answer(json: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, orjson.dumps(json))


def waits(request: Request, answer: Answer) -> list[float]:
    return [one.after for one in heard(request, answer)[1]]


def parts(*parts: object) -> Answer:
    return an_answer({"responses": list(parts)})


@pytest.mark.parametrize(
    ("status", "headers", "asked"),
    [
        (429, {}, [30]),
        (429, {"retry-after": "7"}, [7]),
        (503, {"retry-after": "7"}, [7]),
        (504, {"retry-after": "7"}, [7]),
        (503, {}, []),
        (504, {}, []),
        (500, {"retry-after": "7"}, []),
        (200, {"retry-after": "7"}, []),
    ],
)
def test_a_refusal_that_names_a_time_asks_to_wait_and_so_does_every_429(status, headers, asked):
    assert waits(SINGLE, Answer(status, headers)) == asked
    assert waits(BATCH, Answer(status, headers, b"{}")) == asked
    part = {"id": "0", "status": status, "headers": {name.title(): value for name, value in headers.items()}}
    assert waits(BATCH, parts(part)) == asked


def test_the_scope_is_that_of_what_was_asked_and_of_a_part_its_mailbox():
    refused = Answer(429, {}, scope="connection")

    assert heard(SINGLE, refused)[1][0].scope == "connection"
    assert heard(BATCH, parts({"id": "0", "status": 429}))[1][0].scope == "mailbox"
    assert (wire.user("u").scope, BATCH.scope, wire.attachments("u", ["a"]).scope) == ("connection", "app", "app")
    assert (wire.folder_changes("u").scope, wire.attachment_bytes("u", "m", "a").scope) == ("mailbox", "mailbox")


def test_every_part_of_a_batch_is_heard_and_it_is_parsed_once():
    answer, refused = heard(
        BATCH, parts({"id": "0", "status": 429}, {"id": "1", "status": 200}, {"id": "2", "status": 429})
    )

    assert len(refused) == 2
    assert [one["id"] for one in answer.json["responses"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[" * 100_000),
        an_answer(None),
        an_answer([1]),
        an_answer({"responses": None}),
        an_answer({"responses": {"0": 1}}),
        parts("odd", {"status": "429"}, {}),
    ],
)
def test_a_batch_of_another_shape_asks_nothing_and_is_left_to_its_reader(answer):
    assert waits(BATCH, answer) == []


def test_headers_of_another_shape_name_no_time():
    assert waits(
        BATCH, parts({"id": "0", "status": 429, "headers": ["x"]}, {"id": "1", "status": 503, "headers": None})
    ) == [30]


def test_what_is_no_batch_is_not_looked_into():
    answer = parts({"id": "0", "status": 429})

    assert heard(SINGLE, answer) == (answer, [])
