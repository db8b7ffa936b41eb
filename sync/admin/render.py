"""Answers as text for people: tables, facts, times, and JSON that cannot steer a terminal. Pure."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# As wide as anything gets: what is piped is not cut.
UNCUT = 10_000
_UNUSUAL = re.compile(r"[^\n -~]")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `least` is the width below which it is never cut; one that `wraps` takes more lines."""

    name: str
    right: bool = False
    wraps: bool = False
    least: int = 4


def clean(text: object) -> str:
    """One line without control, format and other invisible characters: a name or a subject never steers a terminal."""
    kept = "".join(" " if char.isspace() else char for char in str(text))
    return " ".join("".join(char for char in kept if unicodedata.category(char)[0] != "C").split())


def clean_lines(text: str) -> str:
    """The same for text of several lines, whose spaces stay."""
    spaced = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(char for char in spaced if char == "\n" or unicodedata.category(char)[0] != "C")


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int = UNCUT, bold: bool = False) -> str:
    """Aligned columns with two spaces between them, cut or wrapped to `width`; the header bold where that may be.

    Where not even the least of each column fits, every row is a block of lines instead.
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    names = [column.name for column in columns]
    natural = [max(cell_len(row[at]) for row in [names, *cells]) for at in range(len(columns))]
    widths = _fitted(columns, natural, width - 2 * (len(columns) - 1))
    if widths is None:
        return "\n\n".join(facts(zip(names, row, strict=True), width) for row in cells)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, wide in zip(columns, widths, strict=True):
        drawn.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            width=wide,
        )
    for row in cells:
        drawn.add_row(*map(Text, row))
    return _drawn(drawn, width, bold)


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int] | None:
    """How wide each column gets: what wraps gives way first, then the widest; None where the room is too small."""
    widths = list(natural)
    for wraps in (True, False):
        may = [at for at, column in enumerate(columns) if column.wraps is wraps]
        while sum(widths) > room:
            at = max(may, key=lambda at: widths[at] - _least(columns[at]), default=None)
            if at is None or widths[at] <= _least(columns[at]):
                break
            widths[at] -= 1
    return widths if sum(widths) <= room else None


def _least(column: Column) -> int:
    return max(column.least, cell_len(column.name))


def facts(pairs: Iterable[tuple[str, object]], width: int = UNCUT) -> str:
    """A line for each thing that has a value, its name before it."""
    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None):
            drawn.add_row(Text(name), Text(shown(value)))
    return _drawn(drawn, width, bold=False)


def shown(value: object) -> str:
    """One value of an answer as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{clean(name)} {shown(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value) or "none"
    return clean(value)


def moment(text: object) -> str:
    """A time of an answer, to the second in UTC; what is no time as it stands."""
    if not isinstance(text, str) or not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return clean(text)
    return f"{at.astimezone(UTC) if at.tzinfo else at:%Y-%m-%d %H:%M:%S}"


def duration(seconds: object) -> str:
    """A time to wait, roughly."""
    if not isinstance(seconds, int | float):
        return ""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours = round(minutes / 60)
    return amount(minutes, "minute") if minutes < 120 else amount(hours, "hour")


def amount(number: int, thing: str, things: str = "") -> str:
    """A number with its thing: 1 row, 2 rows; `things` where an s does not do."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def as_json(value: Any) -> str:
    """JSON to read and to parse: letters as they are, everything that could steer a terminal escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _UNUSUAL.sub(lambda found: _escaped(found[0]), text)


def _escaped(char: str) -> str:
    invisible = unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"
    return json.dumps(char)[1:-1] if invisible else char


def _drawn(drawn: Table, width: int, bold: bool) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=bold,
        color_system="standard" if bold else None,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    console.print(drawn)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
