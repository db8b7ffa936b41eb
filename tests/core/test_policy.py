"""The admin's choices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sync.errors import BadPolicy
from sync.policy import DOMAINS, PROBLEMS, SKIPPED_FOLDERS, TEXT, MailPolicy, MatchingPolicy, Policy, choices, diff


def test_the_backfill_goes_back_by_calendar_months():
    opened = datetime(2026, 8, 31, tzinfo=UTC)

    assert MailPolicy().backfill_start(opened) == datetime(2026, 2, 28, tzinfo=UTC)
    assert MailPolicy(backfill_months=None).backfill_start(opened) is None


def test_an_internal_domain_is_written_without_an_at_sign():
    assert MatchingPolicy(internal_domains=("Firm.Example",)).internal_domains == ("firm.example",)
    for wrong in (
        "@firm.example",
        "firm",
        "",
        " firm.example",
        "a b.example",
        "*.firm.example",
        f"{'x' * 250}.example",
    ):
        with pytest.raises(ValidationError):
            MatchingPolicy(internal_domains=(wrong,))


def test_excluded_addresses_stand_in_lists_of_their_own_and_not_in_the_policy():
    with pytest.raises(ValidationError, match="exclusions"):
        MatchingPolicy.model_validate({"exclusions": ("*@news.example",)})


def test_a_policy_never_changes_and_knows_its_fields():
    with pytest.raises(ValidationError):
        Policy.model_validate({"mail": {"unknown": 1}})
    with pytest.raises(ValidationError):
        Policy().mail = MailPolicy()


def test_lists_that_mean_the_same_are_the_same():
    assert MatchingPolicy(internal_domains=("b.example", "A.example", "a.example")) == MatchingPolicy(
        internal_domains=("a.example", "b.example")
    )
    assert MailPolicy(skipped_classes=("bounce", "automated", "bounce")).skipped_classes == ("automated", "bounce")
    assert MailPolicy(skipped_folders=tuple(reversed(SKIPPED_FOLDERS))) == MailPolicy()


def test_no_choice_leaves_out_a_whole_mailbox_or_a_folder_that_graph_does_not_know():
    for wrong in ("msgfolderroot", "no such folder", "../messages"):
        with pytest.raises(ValidationError):
            MailPolicy(skipped_folders=(wrong,))  # type: ignore[arg-type]


# -- as a file

CHOSEN = Policy(
    mail=MailPolicy(backfill_months=None, skipped_classes=("newsletter", "bounce"), unmatched_days=30),
    matching=MatchingPolicy(internal_domains=("firm.example", "bücher.example")),
)


def a_file(**changes: Any) -> str:
    """A policy's file with these sections in place of its own."""
    return json.dumps({**Policy().document(), **changes})


@pytest.mark.parametrize("policy", [Policy(), CHOSEN])
def test_what_was_written_into_a_file_is_read_again(policy):
    assert Policy.load(policy.dump()) == policy
    assert Policy.load(policy.dump()).dump() == policy.dump()


def test_a_file_is_for_people_with_a_version_first_and_every_choice_in_it():
    lines = CHOSEN.dump().splitlines()

    assert lines[:4] == ["{", '  "version": 1,', '  "mail": {', '    "backfill_months": null,']
    assert '      "bücher.example",' in lines
    assert CHOSEN.dump().endswith("}\n")


def test_a_byte_order_mark_is_passed_over_and_what_is_left_out_has_its_default():
    assert Policy.load('\ufeff{"version": 1, "mail": {"bcc": false}}') == Policy(mail=MailPolicy(bcc=False))


def test_all_that_is_wrong_is_said_at_once_each_with_its_path():
    text = """{"version": 1,
        "mail": {"backfill_months": "6", "attachment_mb": 6.0, "bcc": 1, "attachment": "files",
                 "backfill_order": "middle", "skipped_folders": ["inbox", 3], "unmatched_days": 0},
        "matching": {"internal_domains": ["firm.example", "@firm.example", "firm"], "exclusions": []},
        "mial": {}}"""

    with pytest.raises(BadPolicy) as refused:
        Policy.load(text)

    said = refused.value.problems
    assert sorted(one.split()[0].rstrip(":") for one in said) == [
        "mail.attachment",
        "mail.attachment_mb",
        "mail.backfill_months",
        "mail.backfill_order",
        "mail.bcc",
        "mail.skipped_folders[1]",
        "mail.unmatched_days",
        "matching.exclusions",
        "matching.internal_domains[1]",
        "matching.internal_domains[2]",
        "mial",
    ]
    assert "mail.backfill_months should be a valid integer." in said
    assert "mail.attachment is no choice of this release; did you mean mail.attachments?" in said
    assert "matching.internal_domains[1]: This is not a domain: write acme.com, not @acme.com." in said
    assert "mial is no choice of this release; did you mean mail?" in said
    assert all(one in refused.value.sentence for one in said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a policy as JSON"),
        ("{", "not a policy as JSON"),
        ("[]", "not a policy as JSON"),
        ("[" * 200_000, "not a policy as JSON"),
        ('{"version": 1, "mail": ' + "[" * 500 + "]" * 500 + "}", "not a policy as JSON"),
        ('{"version": 1, "mail": {"backfill_order": "\\ud800"}}', "not a policy as JSON"),
        ('{"version": 1, "mail": {"attachment_mb": NaN}}', "mail.attachment_mb should be"),
        ('{"version": 1, "mail": {"attachment_mb": ' + "9" * 5000 + "}}", "not a policy as JSON"),
        ("{}", "version is missing"),
        ('{"mail": {}}', "version is missing"),
        ('{"version": 2, "colour": "red"}', "version is not one that this release knows: it reads 1."),
        ('{"version": true}', "version is not one"),
        ('{"version": "1"}', "version is not one"),
        ('{"version": 1, "mail": {"bcc": true, "bcc": false}}', "bcc stands twice."),
        ('{"version": 1, "mail": [], "mail": []}', "mail stands twice. mail should be"),
        (a_file(matching={"internal_domains": ["a.example"] * (DOMAINS + 1)}), "too many entries: 500 are the most."),
        (" " * (TEXT + 1), "at most 1,000,000 characters"),
        (a_file(**{"x" * 200: 1}), f"{'x' * 60}... is no choice of this release."),
        (a_file(**{"a\nb\x1b": 1}), "a[?]b[?] is no choice"),
    ],
)
def test_what_is_no_policy_is_refused_with_a_sentence(text, said):
    with pytest.raises(BadPolicy, match=said):
        Policy.load(text)


def test_of_very_many_problems_the_first_are_told_and_how_many_more_there_are():
    with pytest.raises(BadPolicy) as refused:
        Policy.load(a_file(mail={f"choice{number}": 1 for number in range(20_000)}))

    assert len(refused.value.problems) == PROBLEMS + 1
    assert refused.value.problems[-1] == "And 19900 more."


def test_what_cannot_be_json_at_all_is_no_policy():
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for document in ({"version": 1, "mail": {"bcc": object()}}, {"version": 1, "mail": deep}, "text", None):
        with pytest.raises(BadPolicy, match="not a policy as JSON"):
            Policy.of(document)


NAMES = st.sampled_from(["version", *Policy.model_fields, *(path.partition(".")[2] for path in choices(Policy()))])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(1) | st.just("firm.example"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(ANYTHING, ANYTHING, st.text())
def test_whatever_somebody_sends_is_a_policy_or_refused_with_sentences(document, section, text):
    for read in (
        lambda: Policy.of(document),
        lambda: Policy.of({"version": 1, "mail": section, "matching": section, "schedule": section}),
        lambda: Policy.load(text),
        lambda: Policy.load(json.dumps(document)),
    ):
        try:
            policy = read()
        except BadPolicy as bad:
            assert bad.problems
            assert all(one and one.isprintable() for one in bad.problems)
        else:
            assert Policy.load(policy.dump()) == policy


def test_a_value_that_was_sent_never_stands_in_a_problem():
    secret = "hunter2hunter2"
    sections = {"mail": {"bcc": secret}, "matching": {"internal_domains": [f"{secret}@firm.example"]}}

    with pytest.raises(BadPolicy) as refused:
        Policy.load(a_file(**sections))

    assert secret not in str(refused.value)


# -- what changes


def test_nothing_changes_between_policies_that_say_the_same():
    assert diff(CHOSEN, Policy.load(CHOSEN.dump())) == ()


def test_changes_come_in_the_order_of_the_model_and_lists_tell_what_came_and_went():
    before = CHOSEN
    after = Policy(
        mail=MailPolicy(skipped_classes=("bounce",), bcc=False),
        matching=MatchingPolicy(internal_domains=("firm.example", "new.example", "other.example")),
    )

    changes = diff(before, after)

    assert [(one.path, one.before, one.after) for one in changes if not (one.added or one.removed)] == [
        ("mail.backfill_months", None, 6),
        ("mail.bcc", True, False),
        ("mail.unmatched_days", 30, None),
    ]
    assert [(one.path, one.added, one.removed) for one in changes if one.added or one.removed] == [
        ("mail.skipped_classes", (), ("newsletter",)),
        ("matching.internal_domains", ("new.example", "other.example"), ("bücher.example",)),
    ]
    assert [one.path for one in changes] == [path for path in choices(before) if path in {one.path for one in changes}]
