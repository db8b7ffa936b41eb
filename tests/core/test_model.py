"""Queue messages."""

from __future__ import annotations

import json

import pytest

from sync.errors import BadJob
from sync.model import Job

JOB = Job("tenant", "mail", ("box",), "due")


def test_a_job_comes_back_from_its_message():
    assert Job.from_json(JOB.to_json()) == JOB


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({"version": 2}), "version 2; this release reads version 1"),
        (json.dumps({}), "version None"),
        (json.dumps({"version": 1, "connection": "t", "kind": "mail", "reason": "due"}), "lacks"),
        (json.dumps({"version": 1, "connection": "", "kind": "mail", "reason": "due", "subjects": []}), "lacks"),
        (json.dumps({"version": 1, "connection": "t", "kind": "mail", "reason": "due", "subjects": [1]}), "lacks"),
    ],
)
def test_a_message_of_another_make_is_refused_by_name(text, said):
    with pytest.raises(BadJob, match=said):
        Job.from_json(text)
