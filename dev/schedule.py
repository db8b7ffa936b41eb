"""NCRONTAB, the schedules of timer triggers: five or six fields, seconds first, all of them must agree.

Read as Microsoft's host reads them, and stricter where it guesses:

- six fields are second, minute, hour, day, month, day of week; five fields leave the second out (it is 0);
- a day must be right by day of month AND by day of week (classic cron takes either);
- Sunday is 0 and Saturday 6; months and days may be written as names, short or in full, in any letter case;
- `*`, `a`, `a-b`, each with `/step`, and lists of them; `a/step` runs from a to the end of the field;
- a range that runs backwards, a step of 0, `7` for Sunday and `?`, `L`, `W`, `#` are refused.

Times are UTC, as on the Flex Consumption plan, which knows no time zone setting.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class BadSchedule(ValueError):
    """A schedule that cannot be read; the text names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 6, DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values each field allows, sorted."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @staticmethod
    def parse(text: str) -> Schedule:
        """Read an expression; raises BadSchedule with the name of the field that is wrong."""
        parts = text.split()
        if len(parts) not in (5, 6):
            raise BadSchedule(f"The schedule {text!r} has {len(parts)} fields; NCRONTAB has 5 or 6.")
        if len(parts) == 5:
            parts = ["0", *parts]
        values = []
        for field, part in zip(FIELDS, parts, strict=True):
            try:
                values.append(_values(field, part))
            except ValueError as wrong:
                raise BadSchedule(f"The schedule {text!r} has a wrong {field.name} {part!r}: {wrong}") from None
        schedule = Schedule(text, *values)
        if min(schedule.days) > max(LONGEST[month - 1] for month in schedule.months):
            raise BadSchedule(f"The schedule {text!r} never comes: no month it names has such a day of month.")
        return schedule

    def matches(self, moment: datetime) -> bool:
        """Whether the timer fires at this second."""
        at = moment.astimezone(UTC)
        in_day = at.hour in self.hours and at.minute in self.minutes and at.second in self.seconds
        return in_day and self._day_is_right(at.date())

    def next_after(self, moment: datetime) -> datetime:
        """The first time of the schedule that is later than `moment` (which must carry a zone); in UTC."""
        if moment.tzinfo is None:
            raise ValueError("A schedule needs a time with a zone.")
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        if self._day_is_right(start.date()):
            later = self._time_from(start.time())
            if later is not None:
                return datetime.combine(start.date(), later, UTC)
        first = time(self.hours[0], self.minutes[0], self.seconds[0])
        return datetime.combine(self._day_from(start.date() + timedelta(days=1)), first, UTC)

    def _day_is_right(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _day_from(self, day: date) -> date:
        while not self._day_is_right(day):
            if day.month in self.months:
                day += timedelta(days=1)
            else:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return day

    def _time_from(self, least: time) -> time | None:
        """The first right time of day that is not before `least`, or None when the day has no more."""
        for hour in self.hours[bisect_left(self.hours, least.hour) :]:
            if hour > least.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            for minute in self.minutes[bisect_left(self.minutes, least.minute) :]:
                if minute > least.minute:
                    return time(hour, minute, self.seconds[0])
                at = bisect_left(self.seconds, least.second)
                if at < len(self.seconds):
                    return time(hour, minute, self.seconds[at])
        return None


def _values(field: _Field, text: str) -> tuple[int, ...]:
    allowed: set[int] = set()
    for part in text.split(","):
        allowed.update(_part(field, part))
    return tuple(sorted(allowed))


def _part(field: _Field, text: str) -> range:
    span, slash, step_text = text.partition("/")
    step = _number(step_text) if slash else 1
    if step < 1:
        raise ValueError("a step must be 1 or more.")
    if span == "*":
        return range(field.low, field.high + 1, step)
    first_text, dash, last_text = span.partition("-")
    first = _value(field, first_text)
    last = _value(field, last_text) if dash else field.high if slash else first
    if last < first:
        raise ValueError(f"{span!r} runs backwards.")
    return range(first, last + 1, step)


def _value(field: _Field, text: str) -> int:
    lowered = text.lower()
    for number, name in enumerate(field.names, field.low):
        if lowered in (name, name[:3]):
            return number
    value = _number(text)
    if not field.low <= value <= field.high:
        raise ValueError(f"{value} is not between {field.low} and {field.high}.")
    return value


def _number(text: str) -> int:
    # isdecimal alone would let digits of other scripts through, which int() reads and the host does not.
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is not a number." if text else "a number is missing.")
    return int(text)
