"""The words a command line is made of, read by argparse: one leaf for each command, the same options everywhere."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

from sync.admin.client import Client
from sync.admin.screen import Screen
from sync.admin.shell import Shell
from sync.errors import BadCommand

DONE, REFUSED, USAGE, NOT_REACHED, PART, STOPPED = 0, 1, 2, 3, 4, 130
NAME = "python -m sync.admin"
_END = f"""\
Exit status: {DONE} done; {REFUSED} the service refused, or something is in trouble; {USAGE} the command cannot be
followed; {NOT_REACHED} the service was not reached or does not take the key; {PART} done in part; {STOPPED} Ctrl-C.

The key is never an option, since a shell keeps what is typed: it is ACCORD_API_KEY of the environment, or of
local.settings.json in this folder. docs/command-line.md has every command with an example."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with: the service, the screen, and time. `yes` answers every question."""

    client: Client
    screen: Screen
    shell: Shell
    yes: bool = False


Does = Callable[[Namespace, Desk], int]


class Commands:
    """A level of commands, to which leaves and groups are added."""

    def __init__(self, below: Any) -> None:
        self._below = below

    def leaf(self, name: str, does: Does, help: str, *named: str) -> ArgumentParser:
        """A command; `named` are its positional arguments, each a line `NAME what it is`."""
        parser: ArgumentParser = self._below.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", parents=[_common()], allow_abbrev=False
        )
        parser.set_defaults(does=does)
        for one in named:
            word, _, meaning = one.partition(" ")
            parser.add_argument(word.lower(), metavar=word, help=meaning)
        return parser

    def group(self, name: str, help: str) -> Commands:
        """Commands below a word."""
        parser = self._below.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        return Commands(parser.add_subparsers(metavar="COMMAND", required=True))


@lru_cache(maxsize=1)
def parser_of(groups: tuple[Callable[[Commands], None], ...]) -> ArgumentParser:
    """The whole grammar, made of groups of commands; made once."""
    parser = ArgumentParser(
        NAME,
        description="Look after a deployed Accord, or one on this machine, through its admin API.",
        epilog=_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common()],
        allow_abbrev=False,
    )
    commands = Commands(parser.add_subparsers(metavar="COMMAND", required=True))
    for group in groups:
        group(commands)
    return parser


def read(parser: ArgumentParser, words: Sequence[str] | None, shell: Shell) -> Namespace | int:
    """What is asked for, or the status to end with: help was shown, or a complaint about the words."""
    try:
        with redirect_stdout(shell.stdout), redirect_stderr(shell.stderr):
            return parser.parse_args(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE


def since(text: str) -> str:
    """A day, or a moment with a zone, as the service takes it; for argparse."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime.combine(day, time(), UTC).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError("write a day like 2026-03-31 (UTC), or a moment like 2026-03-31T09:00:00Z")
    return at.isoformat()


def number(least: int, most: int) -> Callable[[str], int]:
    """A whole number between two; for argparse."""

    def read_number(text: str) -> int:
        value = int(text) if text.isdecimal() and len(text) < 10 else least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"write a whole number from {least} to {most}")
        return value

    return read_number


def only_with(asked: Namespace, option: str, other: str) -> None:
    """Raise BadCommand for an option that means nothing without another."""
    if getattr(asked, option) is not None and getattr(asked, other) is None:
        raise BadCommand(f"--{option} belongs to --{other}.", f"Say --{other} as well, or leave --{option} away.")


def _common() -> ArgumentParser:
    """Options that may stand before and behind a command: without defaults, which would undo what stood before."""
    common = ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--url", help="where the service is (ACCORD_URL, else http://localhost:7071)")
    common.add_argument("--json", action="store_true", help="what the service answered, as JSON")
    common.add_argument("--yes", action="store_true", help="do not ask before what cannot be taken back")
    return common
