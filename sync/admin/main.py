"""From the words of a command line to its exit status."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence

from sync.admin import contacts, exclusions, exports, mailboxes, overview, policy, retry, runs
from sync.admin.arguments import DONE, NOT_REACHED, REFUSED, STOPPED, USAGE, Desk, parser_of, read
from sync.admin.client import Client
from sync.admin.screen import Screen
from sync.admin.shell import Shell
from sync.errors import BadCommand, NeedsPerson, NotReached, Refused

GROUPS = (
    overview.add,
    mailboxes.add,
    runs.add,
    retry.add,
    exclusions.add,
    policy.add,
    contacts.add,
    exports.add,
)


def main(words: Sequence[str] | None = None, shell: Shell | None = None) -> int:
    """Do what is asked and return the exit status; `words` are those of the process unless given."""
    shell = shell or Shell.here()
    screen = Screen(shell)
    try:
        asked = read(parser_of(GROUPS), words, shell)
        status = asked if isinstance(asked, int) else _do(asked, shell)
        shell.stdout.flush()
    except KeyboardInterrupt:
        screen.tell("\nStopped. What was asked for before goes on in the service.")
        return STOPPED
    except BrokenPipeError:
        # Nobody reads any more (`... | head`): what is left to write has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), shell.stdout.fileno())
        return DONE
    except (BadCommand, Refused, NotReached) as error:
        screen.trouble(error)
        return _status(error)
    return status


def _do(asked: Namespace, shell: Shell) -> int:
    screen = Screen(shell, getattr(asked, "json", False))
    client = Client(getattr(asked, "url", None) or shell.url(), shell.key(), shell.adapter)
    try:
        status: int = asked.does(asked, Desk(client, screen, shell, getattr(asked, "yes", False)))
    finally:
        client.close()
    return status


def _status(error: NeedsPerson) -> int:
    if isinstance(error, BadCommand):
        return USAGE
    return NOT_REACHED if isinstance(error, NotReached) else REFUSED
