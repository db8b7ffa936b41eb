"""When a mailbox has its turn: slots by interval, by day and by week, over changes of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.policy import SchedulePolicy
from sync.schedule import DAY, EVERY, HOUR, SPREAD, WRONG, due, seldom, slot, trusted
from tests.builders import KEYS, NOON

MINUTE = timedelta(minutes=1)
# Its digits are zeros: its slots lie at the very time of day.
FIRST = "0" * 32
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def daily(clock: str = "06:00", zone: str = "Europe/Berlin") -> SchedulePolicy:
    return SchedulePolicy(frequency="daily", time=clock, timezone=zone)


def weekly(weekday: str, clock: str = "06:00", zone: str = "Europe/Berlin") -> SchedulePolicy:
    return SchedulePolicy(frequency="weekly", weekday=weekday, time=clock, timezone=zone)  # type: ignore[arg-type]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def slots(schedule: SchedulePolicy, first: str, last: str, mailbox: str = FIRST) -> list[datetime]:
    """All slots of a mailbox in (first, last], as the clocks of the zone show them."""
    found, moment = [], slot(mailbox, at(last), schedule)
    while moment > at(first):
        found.append(moment)
        moment = slot(mailbox, moment - timedelta(microseconds=1), schedule)
    return [one.astimezone(ZoneInfo(schedule.timezone)) for one in reversed(found)]


def shown(schedule: SchedulePolicy, first: str, last: str) -> list[str]:
    return [f"{one:%a %d %H:%M %z}" for one in slots(schedule, first, last)]


# -- by the clocks of the firm


def test_a_daily_slot_keeps_its_time_of_day_when_the_clocks_change():
    assert shown(daily(), "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00") == [
        "Sat 28 06:00 +0100",
        "Sun 29 06:00 +0200",
        "Mon 30 06:00 +0200",
    ]
    assert shown(daily(), "2026-10-24T00:00+02:00", "2026-10-26T12:00+01:00") == [
        "Sat 24 06:00 +0200",
        "Sun 25 06:00 +0100",
        "Mon 26 06:00 +0100",
    ]


def test_a_time_that_the_clocks_leave_out_comes_where_they_go_on():
    assert shown(daily("02:30"), "2026-03-28T12:00+01:00", "2026-03-30T12:00+02:00") == [
        "Sun 29 03:00 +0200",
        "Mon 30 02:30 +0200",
    ]
    assert shown(daily("02:00"), "2026-03-28T12:00+01:00", "2026-03-29T12:00+02:00") == ["Sun 29 03:00 +0200"]
    # Half an hour is left out there.
    lord_howe = daily("02:15", "Australia/Lord_Howe")
    assert shown(lord_howe, "2026-10-03T12:00+10:30", "2026-10-04T12:00+11:00") == ["Sun 04 02:30 +1100"]


def test_a_time_that_the_clocks_show_twice_comes_once_and_the_first_time():
    assert shown(daily("02:30"), "2026-10-24T12:00+02:00", "2026-10-26T12:00+01:00") == [
        "Sun 25 02:30 +0200",
        "Mon 26 02:30 +0100",
    ]
    new_york = daily("01:30", "America/New_York")
    assert shown(new_york, "2026-10-31T12:00-04:00", "2026-11-01T12:00-05:00") == ["Sun 01 01:30 -0400"]


def test_what_came_before_the_clocks_went_back_over_midnight_does_not_come_again():
    havana = daily("00:30", "America/Havana")  # where 01:00 becomes 00:00
    assert shown(havana, "2026-10-31T12:00-04:00", "2026-11-02T12:00-05:00") == [
        "Sun 01 00:30 -0400",
        "Mon 02 00:30 -0500",
    ]
    st_johns = daily("00:00", "America/St_Johns")  # where 00:01 became 23:01 of the day before
    assert shown(st_johns, "2010-11-06T12:00-02:30", "2010-11-06T23:30-03:30") == ["Sun 07 00:00 -0230"]
    assert shown(st_johns, "2010-11-06T23:30-03:30", "2010-11-08T12:00-03:30") == ["Mon 08 00:00 -0330"]


def test_a_day_that_a_country_left_out_has_its_slot_where_the_clocks_go_on():
    """Samoa went from Thursday 29 to Saturday 31 December 2011."""
    assert shown(daily("06:00", "Pacific/Apia"), "2011-12-29T00:00-10:00", "2012-01-01T00:00+14:00") == [
        "Thu 29 06:00 -1000",
        "Sat 31 00:00 +1400",
        "Sat 31 06:00 +1400",
    ]
    assert shown(weekly("friday", zone="Pacific/Apia"), "2011-12-28T00:00-10:00", "2012-01-02T00:00+14:00") == [
        "Sat 31 00:00 +1400"
    ]


def test_a_weekly_slot_comes_on_its_day_of_the_firms_calendar():
    assert shown(weekly("sunday", "02:30"), "2026-03-16T00:00+01:00", "2026-04-06T00:00+02:00") == [
        "Sun 22 02:30 +0100",
        "Sun 29 03:00 +0200",
        "Sun 05 02:30 +0200",
    ]
    # Monday in India, still Sunday in Greenwich.
    kolkata = weekly("monday", "00:15", "Asia/Kolkata")
    assert [
        one.astimezone(UTC).isoformat() for one in slots(kolkata, "2026-11-14T00:00+00:00", "2026-11-20T00:00+00:00")
    ] == ["2026-11-15T18:45:00+00:00"]


def test_ten_thousand_mailboxes_have_their_turns_spread_over_half_an_hour():
    ids = [KEYS.of("mailbox", str(number)) for number in range(10_000)]
    six, late = at("2026-11-20T06:00+01:00"), at("2026-11-20T06:29:59+01:00")

    found = [slot(one, at("2026-11-20T12:00+01:00"), daily()) for one in ids]

    assert (min(found), max(found)) == (six, late)
    minutes = [sum(six + n * MINUTE <= one < six + (n + 1) * MINUTE for one in found) for n in range(30)]
    assert max(minutes) < 450


# -- however ticks come

schedules = st.builds(
    SchedulePolicy,
    frequency=st.sampled_from(sorted(EVERY)),
    time=st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)),
    weekday=st.sampled_from(WEEKDAYS),
    timezone=st.sampled_from(ZONES),
)
mailboxes = st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}" + "0" * 24)
# Around the days on which clocks changed or will, and any other.
moments = st.one_of(
    st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2011-12-30"])
    .map(lambda day: datetime.fromisoformat(day).replace(tzinfo=UTC))
    .flatmap(lambda day: st.integers(-3 * 86400, 3 * 86400).map(lambda seconds: day + timedelta(seconds=seconds))),
    st.integers(0, 25 * 365 * 86400).map(lambda seconds: datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
)
gaps = st.lists(st.one_of(st.integers(0, 7200), st.integers(0, 20 * 86400)), min_size=1, max_size=30)


@given(schedules, mailboxes, moments, gaps)
def test_each_slot_is_met_once_however_late_or_often_ticks_come(schedule, mailbox, start, gaps):
    """A tick meets all slots since the one before as one turn; all ticks together meet each slot."""
    ticks = [start]
    for gap in gaps:
        ticks.append(ticks[-1] + timedelta(seconds=gap))

    met = [due(mailbox, before, now, schedule) for before, now in pairwise(ticks)]

    last = [slot(mailbox, tick, schedule) for tick in ticks]
    assert met == [later > earlier for earlier, later in pairwise(last)]
    assert last == sorted(last)
    assert all(one <= tick for one, tick in zip(last, ticks, strict=True))
    assert all(slot(mailbox, one, schedule) == one for one in last)
    assert any(met) == due(mailbox, ticks[0], ticks[-1], schedule)


@given(schedules, mailboxes, moments)
def test_the_next_slot_is_never_further_away_than_its_frequency_and_a_change_of_the_clocks(schedule, mailbox, moment):
    last = slot(mailbox, moment, schedule)

    # A day was left out once.
    assert moment - last < EVERY[schedule.frequency] + DAY + timedelta(seconds=1)
    if schedule.frequency not in ("daily", "weekly"):
        assert moment - last < EVERY[schedule.frequency]


@given(
    st.sampled_from(ZONES),
    st.dates(date(2012, 1, 5), date(2035, 1, 1)),
    st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    mailboxes,
)
def test_a_daily_slot_comes_once_a_day_at_its_time_or_where_the_clocks_go_on(zone, day, clock, mailbox):
    """Held to a clock on the wall, read minute by minute: the first minute that shows the time or a later one."""
    schedule = daily(f"{clock:%H:%M}", zone)
    offset = slot(mailbox, NOON, daily("00:00", "UTC")) - NOON.replace(hour=0)
    read = datetime.combine(day, time(), UTC) - 16 * HOUR
    while read.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < datetime.combine(day, clock):
        read += MINUTE

    assert slot(mailbox, read + offset, schedule) == read + offset
    assert timedelta() <= offset < SPREAD
    assert slot(mailbox, read + offset - timedelta(microseconds=1), schedule) < read + offset - 20 * HOUR


@given(mailboxes, moments)
def test_a_weekly_slot_is_one_of_seven_daily_ones(mailbox, moment):
    each = {slot(mailbox, moment, weekly(one)) for one in WEEKDAYS}

    assert len(each) == 7
    assert max(each) == slot(mailbox, moment, daily())


@pytest.mark.parametrize("frequency", sorted(EVERY))
def test_every_frequency_has_its_number_of_turns(frequency):
    schedule, start = SchedulePolicy(frequency=frequency), NOON - timedelta(hours=12)
    ticks = [start + n * MINUTE for n in range(14 * 24 * 60 + 1)]
    last = [slot(KEYS.of("mailbox", "ada"), tick, schedule) for tick in ticks]

    assert len({*last[1:]} - {last[0]}) == 14 * DAY // EVERY[frequency]


def test_a_turn_is_seldom_where_the_next_is_more_than_an_hour_away():
    frequent = [one for one in EVERY if not seldom(SchedulePolicy(frequency=one))]

    assert frequent == ["live", "10 minutes", "15 minutes", "30 minutes", "hourly"]


def test_a_clock_a_little_ahead_is_trusted_and_one_far_ahead_is_not():
    assert trusted(None, NOON) is None
    assert trusted(NOON - 9 * DAY, NOON) == NOON - 9 * DAY
    assert trusted(NOON + WRONG, NOON) == NOON + WRONG
    assert trusted(NOON + WRONG + MINUTE, NOON) is None
    assert not due(FIRST, NOON + WRONG, NOON, SchedulePolicy())
