"""Queue messages."""

from __future__ import annotations

import json

import pytest

from sync.errors import BadJob
from sync.model import Job

JOB = Job("tenant", "mail", ("0" * 32,), "due", ticket=7)


def test_a_job_comes_back_from_its_message():
    assert Job.from_json(JOB.to_json()) == JOB


def a_message(**changes):
    fields = {"version": 1, "connection": "t", "kind": "mail", "reason": "due", "subjects": []}
    return json.dumps({**fields, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        (a_message(version=2), "version 2; this release reads version 1"),
        (a_message(version="x" * 50_000), "this release reads version 1"),
        (json.dumps({}), "version None"),
        (a_message(connection=""), "lacks"),
        (a_message(kind="letters"), "a kind that does not exist"),
        (a_message(kind=[]), "lacks"),
        (a_message(subjects="x"), "no list of subjects"),
        (a_message(subjects=["0" * 32] * 51), "too many"),
        (a_message(subjects=[1]), "no id of ours"),
        (a_message(subjects=["a/b"]), "no id of ours"),
        (a_message(subjects=["\x00"]), "no id of ours"),
        (a_message(ticket="1"), "odd ticket"),
    ],
)
def test_a_message_of_another_make_is_refused_by_name(text, said):
    with pytest.raises(BadJob, match=said) as refused:
        Job.from_json(text)

    assert len(refused.value.sentence) < 300


def test_a_message_without_a_ticket_counts_always():
    assert Job.from_json(a_message()).ticket == 0
