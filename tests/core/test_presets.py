"""Ready-made policies."""

from __future__ import annotations

import re

import pytest

from sync.policy import MailPolicy, MatchingPolicy, Policy, SchedulePolicy, choices, diff
from sync.presets import NAMES, OWN, PRESETS, applied
from tests.core.test_docs import ROWS

FIRM = Policy(
    mail=MailPolicy(backfill_months=None, bcc=False, skipped_classes=("newsletter",)),
    matching=MatchingPolicy(internal_domains=("firm.example",)),
    schedule=SchedulePolicy(frequency="weekly", time="07:30", weekday="friday", timezone="Europe/Berlin"),
)


def test_there_is_a_preset_for_each_way_of_working():
    assert tuple(PRESETS) == NAMES == ("safe", "advisory", "crm-desk", "community", "scheduler")
    assert [preset.name for preset in PRESETS.values()] == list(NAMES)


def test_the_safe_one_is_the_default():
    assert applied(PRESETS["safe"], Policy(mail=FIRM.mail)) == Policy()


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_answers_every_choice_once_but_those_that_are_the_firms_own(name):
    answered = [choice.path for choice in PRESETS[name].choices]

    assert len(answered) == len(set(answered))
    assert {*answered, *OWN} == set(choices(Policy()))
    assert not OWN.intersection(answered)


@pytest.mark.parametrize("name", NAMES)
def test_each_choice_has_a_reason_in_one_line_with_its_row_of_the_requirements(name):
    for choice in PRESETS[name].choices:
        found = re.search(r"\b([A-Z]{1,2})(\d+)(?:, [A-Z]\d+)?: .+\.$", choice.reason)
        assert found, choice.reason
        assert 1 <= int(found[2]) <= ROWS[found[1]]
        assert len(choice.reason) <= 120


@pytest.mark.parametrize("name", NAMES)
def test_applying_one_keeps_what_is_the_firms_own_and_twice_is_once(name):
    once = applied(PRESETS[name], FIRM)

    assert {path: choices(once)[path] for path in OWN} == {path: choices(FIRM)[path] for path in OWN}
    assert once.matching.internal_domains == ("firm.example",)
    assert applied(PRESETS[name], once) == once
    assert [choices(once)[choice.path] for choice in PRESETS[name].choices] == [
        choice.value for choice in PRESETS[name].choices
    ]


def test_a_preset_differs_from_the_safe_one_only_where_its_way_of_working_says_so():
    differing = {
        name: [one.path for one in diff(Policy(), applied(preset, Policy()))] for name, preset in PRESETS.items()
    }

    assert differing == {
        "safe": [],
        "advisory": ["mail.backfill_order", "schedule.frequency"],
        "crm-desk": ["schedule.frequency"],
        "community": [],
        "scheduler": ["schedule.frequency"],
    }
