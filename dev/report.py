"""What `make run` prints: the progress line, the table after the first sync, a timeline, where to look. Text only."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from dev.firm import BrokenFile

WIDTH = 100
SHOWN = 5
NAMED = 20
SECONDS_BETWEEN_LINES = 2.0
# A reason that reads better as a line of its own than behind "skipped".
REASONS = {"already kept": "copies of a mail that is kept"}


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of all mailboxes, since their first sync."""

    mailboxes: int = 0
    seen: int = 0
    kept: int = 0
    bodies: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """What this start asked of others, and how long it took."""

    seconds: float
    graph_calls: int
    graph_units: int
    tables: int
    queues: int
    blobs: int
    host_queues: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline."""

    when: str
    author: str
    subject: str


def progress_text(now: Counted, new: int, seconds: float, cut_off: int = 0) -> str:
    """The progress line. `cut_off` are seconds to wait for a run that was killed in an earlier start."""
    parts = [f"{now.mailboxes} mailbox{'' if now.mailboxes == 1 else 'es'}", f"{now.seen} seen", f"{now.kept} kept"]
    parts.append(f"{new} new")
    if now.percent is not None:
        parts.append(f"backfill {now.percent} %")
    parts.append(f"{seconds:.0f} s")
    if cut_off > 0:
        parts.append(f"(a run that was cut off holds its mailbox for another {cut_off} s)")
    return "  ".join(parts)


class Progress:
    """One line, rewritten in place on a terminal; elsewhere a line of its own when something changed."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._shown: tuple[Counted, int, bool] | None = None
        self._at = 0.0

    def show(self, now: Counted, new: int, seconds: float, cut_off: int = 0) -> None:
        """Show where it stands."""
        if self._terminal:
            columns = shutil.get_terminal_size((WIDTH, 24)).columns
            self._out.write("\r\x1b[K" + progress_text(now, new, seconds, cut_off)[: columns - 1])
            self._out.flush()
        elif (now, new, cut_off > 0) != self._shown and time.monotonic() - self._at >= SECONDS_BETWEEN_LINES:
            self._out.write(progress_text(now, new, seconds, cut_off) + "\n")
            self._out.flush()
            self._at = time.monotonic()
        else:
            return
        self._shown = (now, new, cut_off > 0)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._shown is not None:
            self._out.write("\r\x1b[K")
            self._out.flush()


def table(
    before: Counted,
    now: Counted,
    effort: Effort,
    runs_with_errors: Sequence[str],
    failed: Sequence[str],
    broken: Sequence[BrokenFile],
) -> str:
    """The table. A later start has two columns: what is new, and all there is."""
    later = before.seen > 0
    reasons = sorted(now.skipped, key=lambda reason: (-now.skipped[reason], reason))
    counted = [
        ("Messages seen", before.seen, now.seen),
        ("  kept", before.kept, now.kept),
        *(
            (f"  {REASONS.get(reason, f'skipped: {reason}')}", before.skipped.get(reason, 0), now.skipped[reason])
            for reason in reasons
        ),
        ("Bodies read", before.bodies, now.bodies),
    ]
    rows = [("Mailboxes", "" if later else f"{now.mailboxes}", f"{now.mailboxes}")]
    rows += [(name, f"{new - old}", f"{new}") for name, old, new in counted]
    operations = effort.tables + effort.queues + effort.blobs
    rows += [
        ("Graph calls", f"{effort.graph_calls}", ""),
        ("Graph units", f"{effort.graph_units}", ""),
        ("Storage operations", f"{operations}", ""),
        ("  tables, queues, blobs", f"{effort.tables}, {effort.queues}, {effort.blobs}", ""),
        ("  and by the host for its queues", f"{effort.host_queues}", ""),
        ("Seconds", f"{effort.seconds:.1f}", ""),
        ("Runs with errors", f"{len(runs_with_errors)}", ""),
    ]
    if broken:
        rows.append(("Broken files", f"{len(broken)}", ""))
    lines = _columns([("", "new", "in all"), *rows] if later else [(name, new, "") for name, new, _ in rows])
    lines += notes("error", [*runs_with_errors, *failed], SHOWN)
    lines += notes("broken", [f"{one.name}: {one.why}" for one in broken], NAMED)
    return "\n".join(lines)


def timeline(name: str, entries: Sequence[Line], total: int) -> str:
    """The newest lines of one person's timeline."""
    if total > len(entries):
        lines = [f"The newest {len(entries)} of {total} lines on the timeline of {one_line(name)}"]
    else:
        lines = [f"The timeline of {one_line(name)}: {amount(total, 'line')}{', newest first' if total > 1 else ''}"]
    lines += [f"  {one.when:<16}  {fitted(one.author, 24, True)}  {fitted(one.subject, 54)}" for one in entries]
    return "\n".join(lines)


def addresses(port: int, api_key: str, person: str) -> str:
    """Where to look: lines for a shell."""
    base = f"http://localhost:{port}"
    key = f"curl -H {shlex.quote(f'X-Api-Key: {api_key}')}"
    wanted = [f"{key} {base}/api/crm/contacts"]
    if person:
        wanted.append(f"{key} {base}/api/crm/contacts/{person}/timeline")
    wanted += [f"curl {base}/api/openapi.json", f"curl {base}/health"]
    return "\n".join(["Look at it", *(f"  {line}" for line in wanted)])


def command_line(port: int, api_key: str, python: str) -> str:
    """How to look after it: a line for a shell, in the repository's folder."""
    where = f"ACCORD_URL=http://localhost:{port} ACCORD_API_KEY={shlex.quote(api_key)}"
    return (
        f"Look after it (-h instead of status lists all there is)\n  {where} {shlex.quote(python)} -m sync.admin status"
    )


def left_unknown(addresses: Sequence[str]) -> str:
    """The correspondents that are no contacts on purpose."""
    shown = [one_line(one) for one in addresses[:SHOWN]]
    rest = len(addresses) - len(shown)
    listed = ", ".join(shown) + (f" and {rest} more; all of them stand in log.txt" if rest else "")
    return f"Left out of the contacts, so that skipping is seen ({len(addresses)}): {listed}"


def amount(number: int, thing: str) -> str:
    """A number with its thing: 1 line, 2 lines."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def fitted(text: str, width: int, pad: bool = False) -> str:
    """One line of text cut to `width` columns, and filled up to it where `pad` says so."""
    clean = one_line(text)
    if _wide(clean) > width:
        while clean and _wide(clean) > width - 1:
            clean = clean[:-1]
        clean += "…"
    return clean + " " * (width - _wide(clean)) if pad else clean


def one_line(text: str) -> str:
    """Text without line breaks, control and invisible characters: mail decides what stands here, not the terminal."""
    kept = "".join(" " if char in "\t\r\n\v\f" else char for char in text)
    return " ".join("".join(char for char in kept if not unicodedata.category(char).startswith("C")).split())


def _wide(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _columns(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    first, second, third = (max(len(row[at]) for row in rows) for at in range(3))
    return [f"{row[0]:<{first}}  {row[1]:>{second}}  {row[2]:>{third}}".rstrip() for row in rows]


def notes(mark: str, told: Sequence[str], limit: int) -> list[str]:
    """Lines below a table or a refusal, `limit` of them at most."""
    lines = [fitted(f"{mark}: {note}", 2 * WIDTH) for note in told[:limit]]
    if len(told) > limit:
        lines.append(f"{mark}: and {len(told) - limit} more, see log.txt")
    return [f"  {line}" for line in lines]
