"""How often mailboxes are looked at, as an admin writes it."""

from __future__ import annotations

from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from tzlocal.windows_tz import win_tz

from sync.policy import Frequency, Policy, SchedulePolicy
from sync.schedule import EVERY


def test_live_is_the_default_and_every_frequency_has_a_length():
    assert Policy().schedule.frequency == "live"
    assert set(get_args(Frequency)) == set(EVERY)


def test_every_frequency_that_was_asked_for_is_there():
    """D1 names ten, D2 is every ten minutes, D3 is live."""
    hours = ["hourly", *(f"{number} hours" for number in (2, 3, 4, 6, 12))]
    ten = ["15 minutes", "30 minutes", *hours, "daily", "weekly"]

    assert [SchedulePolicy(frequency=one).frequency for one in ten] == ten
    assert set(get_args(Frequency)) == {*ten, "10 minutes", "live"}
    with pytest.raises(ValidationError):
        SchedulePolicy(frequency="20 minutes")


def test_a_time_lies_ready_where_the_frequency_does_not_ask_for_it():
    known = SchedulePolicy(frequency="hourly", time="07:30", weekday="friday", timezone="Europe/Berlin")

    again = SchedulePolicy.model_validate({**known.model_dump(), "frequency": "weekly"})

    assert (again.time, again.weekday, again.timezone) == ("07:30", "friday", "Europe/Berlin")


@pytest.mark.parametrize("wrong", ["24:00", "7:30", "07:60", "0730", "", "07:30:00", "noon", " 07:30", "٠٧:٣٠"])
def test_a_time_of_day_is_written_with_two_digits_each(wrong):
    with pytest.raises(ValidationError, match="is not a time of day: write it as 06:00"):
        SchedulePolicy(time=wrong)


@pytest.mark.parametrize(
    "wrong", ["Berlin", "America", "../etc/passwd", "/etc/localtime", "localtime", "", "UTC\0", "\ud800"]
)
def test_what_is_no_zone_is_refused_in_a_sentence(wrong):
    with pytest.raises(ValidationError, match=r"time zone|valid string"):
        SchedulePolicy(timezone=wrong)


def test_a_zone_may_be_called_as_windows_calls_it_and_is_kept_by_its_iana_name():
    assert SchedulePolicy(timezone="W. Europe Standard Time").timezone == "Europe/Berlin"
    assert SchedulePolicy(timezone="America/New_York").timezone == "America/New_York"
    assert SchedulePolicy().timezone == "UTC"


def test_every_zone_of_windows_is_one_that_this_machine_knows():
    assert len(win_tz) > 100
    assert all(ZoneInfo(SchedulePolicy(timezone=name).timezone).key for name in win_tz)


def test_every_choice_says_which_row_of_the_features_it_answers():
    described = {name: field.description or "" for name, field in SchedulePolicy.model_fields.items()}

    assert all("D1" in one for one in described.values()), described
