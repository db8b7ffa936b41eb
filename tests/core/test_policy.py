"""The admin's choices."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from sync.policy import MailPolicy, MatchingPolicy, Policy


def test_the_backfill_goes_back_by_calendar_months():
    opened = datetime(2026, 8, 31, tzinfo=UTC)

    assert MailPolicy().backfill_start(opened) == datetime(2026, 2, 28, tzinfo=UTC)
    assert MailPolicy(backfill_months=None).backfill_start(opened) is None


def test_an_internal_domain_is_written_without_an_at_sign():
    assert MatchingPolicy(internal_domains=("Firm.Example",)).internal_domains == ("firm.example",)
    for wrong in ("@firm.example", "firm", "", " firm.example"):
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
