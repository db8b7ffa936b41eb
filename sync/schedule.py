"""When a mailbox has its turn. Pure.

1. A turn is a slot that follows from the mailbox's id and the schedule, so being polled writes nothing. Ids are
   digests: the slots of many mailboxes spread evenly.
2. A slot is met by the first tick at or behind it. However many slots a late tick finds, they are one turn.
3. Below a day the slots of a mailbox lie one interval apart, by elapsed time.
4. Daily and weekly slots lie within half an hour behind a time of day in the firm's zone. A time that the clocks leave
   out comes where they go on, one that they show twice comes the first time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import get_args
from zoneinfo import ZoneInfo

from sync.policy import Frequency, SchedulePolicy, Weekday

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
EVERY: Mapping[Frequency, timedelta] = {
    "live": timedelta(minutes=5),
    "10 minutes": timedelta(minutes=10),
    "15 minutes": timedelta(minutes=15),
    "30 minutes": timedelta(minutes=30),
    "hourly": HOUR,
    "2 hours": 2 * HOUR,
    "3 hours": 3 * HOUR,
    "4 hours": 4 * HOUR,
    "6 hours": 6 * HOUR,
    "12 hours": 12 * HOUR,
    "daily": DAY,
    "weekly": WEEK,
}
# So long behind the time of day mailboxes go on having their turn: 10,000 of them are 333 a minute, which two or three
# instances work as they come (six jobs at once each, of about three seconds), and a firm has its mail half an hour
# after the time it named. A longer one would keep a small firm waiting for nothing.
SPREAD = timedelta(minutes=30)
# A clock this far ahead of all others was wrong: it would keep every mailbox waiting until it is right.
WRONG = HOUR
_SECOND = timedelta(seconds=1)
_WEEKDAYS = get_args(Weekday)


def due(mailbox: str, before: datetime, now: datetime, rhythm: timedelta | SchedulePolicy) -> bool:
    """Whether a slot of this mailbox lies in (before, now]; of an interval, or by the firm's schedule."""
    return slot(mailbox, now, rhythm) > slot(mailbox, before, rhythm)


def slot(mailbox: str, at: datetime, rhythm: timedelta | SchedulePolicy) -> datetime:
    """The last slot of a mailbox at a moment or before it. `mailbox` is its id, 32 hexadecimal digits."""
    if isinstance(rhythm, timedelta):
        return _by_interval(mailbox, at, rhythm)
    if rhythm.frequency not in ("daily", "weekly"):
        return _by_interval(mailbox, at, EVERY[rhythm.frequency])
    offset = _share(mailbox) % (SPREAD // _SECOND) * _SECOND
    return _named(at - offset, rhythm) + offset


def seldom(schedule: SchedulePolicy) -> bool:
    """Whether a turn that got lost would be missed for longer than the hour after which everything is tried again."""
    return EVERY[schedule.frequency] > HOUR


def trusted(before: datetime | None, now: datetime) -> datetime | None:
    """The time of the last tick, from which on slots count; None where there was none, or its clock was far ahead.

    One a little ahead stays as it is: a tick whose clock is behind meets nothing that was met before.
    """
    return None if before is None or before > now + WRONG else before


def _share(mailbox: str) -> int:
    return int(mailbox[:8], 16)


def _by_interval(mailbox: str, at: datetime, every: timedelta) -> datetime:
    length = every.total_seconds()
    offset = _share(mailbox) % length
    return datetime.fromtimestamp((at.timestamp() - offset) // length * length + offset, UTC)


def _named(at: datetime, schedule: SchedulePolicy) -> datetime:
    """The last moment at or before `at` that the schedule names."""
    today = at.astimezone(ZoneInfo(schedule.timezone)).date()
    day = today + DAY
    while True:
        right = schedule.frequency == "daily" or _WEEKDAYS[day.weekday()] == schedule.weekday
        # Tomorrow's may have come as well: a clock that was put back shows yesterday's date once more.
        if right and (moment := _moment(day, schedule.time, schedule.timezone)) <= at:
            return moment
        day -= DAY


@lru_cache(maxsize=64)
def _moment(day: date, clock: str, zone: str) -> datetime:
    """When a clock of this zone first shows a time or passes it; in UTC. Many mailboxes ask for the same few."""
    wall = datetime.combine(day, time.fromisoformat(clock), ZoneInfo(zone))
    found = wall.astimezone(UTC)
    if found.astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return found
    # The time is left out: by the offset from before it lies behind the change, by the one from after in front of it.
    behind = wall.replace(fold=1)
    early, late = behind.astimezone(UTC), found
    while late - early > _SECOND:
        middle = (early + (late - early) / 2).replace(microsecond=0)
        changed = middle.astimezone(wall.tzinfo).utcoffset() == behind.utcoffset()
        early, late = (early, middle) if changed else (middle, late)
    return late
