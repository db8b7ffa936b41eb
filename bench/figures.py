"""A figure with its gate, and lists of figures as a table for the terminal, as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. `most` is its gate; without one the figure is information and cannot be missed.

    `exact` gates must be equal: counts that cannot vary. `said` is the value with its unit, as printed.
    """

    workload: str
    name: str
    value: float
    said: str
    most: float | None = None
    exact: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the gate is met; None where there is none."""
        if self.most is None:
            return None
        return self.value == self.most if self.exact else self.value <= self.most

    @property
    def gate(self) -> str:
        """The gate as printed."""
        if self.most is None:
            return ""
        return f"{self.most:g}" if self.exact else f"<= {self.most:g}"

    @property
    def verdict(self) -> str:
        """The gate's outcome as printed."""
        return {None: "", True: "met", False: "MISSED"}[self.met]


HEAD = ("workload", "figure", "measured", "gate", "")


def as_table(figures: Sequence[Figure]) -> str:
    """Aligned columns."""
    rows = [HEAD, *_rows(figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join((lines[0], "-" * len(lines[0]), *lines[1:]))


def as_markdown(figures: Sequence[Figure], machine: Sequence[str]) -> str:
    """A block for docs/performance.md: the machine, then the figures."""
    rows = [f"| {' | '.join(cell.replace('<=', 'at most') for cell in row)} |" for row in _rows(figures)]
    head = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    return "\n".join((f"Measured on {'; '.join(machine)}.", "", *head, *rows))


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Values with gates and verdicts."""
    return [{**asdict(one), "met": one.met} for one in figures]


def missed(figures: Sequence[Figure]) -> list[Figure]:
    """Those figures whose gate is missed."""
    return [one for one in figures if one.met is False]


def _rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    return [(one.workload, one.name, one.said, one.gate, one.verdict) for one in figures]
