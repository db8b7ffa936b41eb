from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.schedule import FIELDS, BadSchedule, Schedule

MONDAY = datetime(2026, 11, 2, 9, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 */5 * * * *", MONDAY, datetime(2026, 11, 2, 9, 5, tzinfo=UTC)),
        ("*/5 * * * *", MONDAY, datetime(2026, 11, 2, 9, 5, tzinfo=UTC)),
        ("* * * * * *", MONDAY, datetime(2026, 11, 2, 9, 0, 1, tzinfo=UTC)),
        ("30 59 23 31 12 *", MONDAY, datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)),
        ("0 0 9 * * Mon", MONDAY, datetime(2026, 11, 9, 9, tzinfo=UTC)),
        ("0 0 9 * * 0", MONDAY, datetime(2026, 11, 8, 9, tzinfo=UTC)),
        ("0 0 9 * * SUNDAY,sat", MONDAY, datetime(2026, 11, 7, 9, tzinfo=UTC)),
        ("0 0 0 29 2 *", MONDAY, datetime(2028, 2, 29, tzinfo=UTC)),
        ("0 0 0 1 jan-mar/2 *", MONDAY, datetime(2027, 1, 1, tzinfo=UTC)),
        ("0 50/4 * * * *", MONDAY, datetime(2026, 11, 2, 9, 50, tzinfo=UTC)),
        ("15,45 0 8-10 * * *", MONDAY, datetime(2026, 11, 2, 9, 0, 15, tzinfo=UTC)),
        ("0 0 23-23 * * *", MONDAY, datetime(2026, 11, 2, 23, tzinfo=UTC)),
        ("10 10 9 * * *", MONDAY + timedelta(minutes=10, seconds=10), datetime(2026, 11, 3, 9, 10, 10, tzinfo=UTC)),
        ("0 0 0 31 * *", MONDAY, datetime(2026, 12, 31, tzinfo=UTC)),
        ("0 0 0 29 2 Mon", MONDAY, datetime(2044, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_time_of_a_schedule(text: str, after: datetime, expected: datetime) -> None:
    assert Schedule.parse(text).next_after(after) == expected


def test_day_of_month_and_day_of_week_must_both_be_right() -> None:
    friday_the_13th = Schedule.parse("0 0 0 13 * Fri")

    first = friday_the_13th.next_after(MONDAY)
    second = friday_the_13th.next_after(first)

    assert (first.date().isoformat(), second.date().isoformat()) == ("2026-11-13", "2027-08-13")


def test_a_fraction_of_a_second_does_not_fire_the_same_second_twice() -> None:
    every_minute = Schedule.parse("0 * * * * *")

    after = every_minute.next_after(MONDAY + timedelta(microseconds=1))

    assert after == MONDAY + timedelta(minutes=1)


def test_times_are_utc_wherever_the_asking_clock_stands() -> None:
    noon = Schedule.parse("0 0 12 * * *")
    elsewhere = timezone(timedelta(hours=13))

    after = noon.next_after(datetime(2026, 11, 3, 0, 30, tzinfo=elsewhere))

    assert after == datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("* * * *", "4 fields"),
        ("* * * * * * *", "7 fields"),
        ("", "0 fields"),
        ("60 * * * * *", "second '60'"),
        ("0 60 * * * *", "minute '60'"),
        ("0 0 24 * * *", "hour '24'"),
        ("0 0 0 0 * *", "day of month '0'"),
        ("0 0 0 32 * *", "day of month '32'"),
        ("0 0 0 1 13 *", "month '13'"),
        ("0 0 0 1 foo *", "month 'foo'"),
        ("0 0 0 * * 7", "day of week '7'"),
        ("0 0 0 * * jan", "day of week 'jan'"),
        ("0 0 0 ? * *", "day of month '?'"),
        ("0 0 0 L * *", "day of month 'L'"),
        ("*/0 * * * * *", "a step must be 1 or more"),
        ("*/ * * * * *", "a number is missing"),
        ("1, * * * * *", "a number is missing"),
        ("0 0 22-4 * * *", "hour '22-4': '22-4' runs backwards"),
        ("0 0 +1 * * *", "hour '+1'"),
        ("0 0 ٣ * * *", "not a number"),
        ("0 0 0 30 2 *", "never comes"),
        ("0 0 0 31 4,6,9,11 *", "never comes"),
    ],
)
def test_a_wrong_schedule_is_refused_and_the_field_is_named(text: str, named: str) -> None:
    with pytest.raises(BadSchedule, match=named.replace("?", r"\?").replace("+", r"\+")):
        Schedule.parse(text)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        Schedule.parse("* * * * *").next_after(datetime(2026, 11, 2))  # noqa: DTZ001 - the point of the test


@st.composite
def parts(draw: st.DrawFn, low: int, high: int) -> str:
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high))
    return draw(
        st.sampled_from(["*", f"*/{step}", f"{first}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first}/{step}"])
    )


@st.composite
def expressions(draw: st.DrawFn) -> str:
    fields = [",".join(draw(st.lists(parts(one.low, one.high), min_size=1, max_size=2))) for one in FIELDS]
    # Days of 28 and below exist in every month, so that each expression has times.
    fields[3] = ",".join(draw(st.lists(parts(1, 28), min_size=1, max_size=2)))
    return " ".join(fields)


moments = st.datetimes(datetime(2024, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(expressions(), moments)
def test_the_next_time_is_later_and_of_the_schedule(text: str, moment: datetime) -> None:
    schedule = Schedule.parse(text)

    after = schedule.next_after(moment)

    assert after > moment
    assert schedule.matches(after)


@given(expressions(), moments)
def test_no_time_of_the_schedule_is_left_out(text: str, moment: datetime) -> None:
    schedule = Schedule.parse(text)
    span = [moment.replace(microsecond=0) + timedelta(seconds=second) for second in range(1, 1_801)]

    after = schedule.next_after(moment)

    expected = next((second for second in span if schedule.matches(second)), None)
    assert after == expected if expected is not None else after > span[-1]


@given(expressions(), moments)
def test_no_day_of_the_schedule_is_left_out(text: str, moment: datetime) -> None:
    schedule = Schedule.parse(text)
    first_of_day = {"hour": schedule.hours[0], "minute": schedule.minutes[0], "second": schedule.seconds[0]}
    days = [(moment + timedelta(days=day)).replace(microsecond=0, **first_of_day) for day in range(1, 401)]

    after = schedule.next_after(moment)

    expected = next((day for day in days if schedule.matches(day)), None)
    if after.date() > moment.date():
        assert after == expected if expected is not None else after > days[-1]
