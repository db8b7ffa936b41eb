"""What an admin does with a mailbox: take it into scope, look at it, hurry it, switch it off, begin again, let it go.

What is captured stays whatever happens to its mailbox. A run under way loses its lease with the rows that go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from sync import dispatch
from sync.crm import contacts_csv
from sync.errors import BadItem
from sync.model import Cause, Job, MailboxRow, Want
from sync.status import Shown, shown
from sync.world import World


@dataclass(frozen=True, slots=True)
class Standing:
    """A mailbox with what stands beside it."""

    row: MailboxRow
    status: Shown


def add(world: World, connection: str, address: str, owner: str = "") -> MailboxRow:
    """Take a mailbox into scope; twice is once. `owner` is the record key of its CRM user.

    Raises BadItem for what is no mail address.
    """
    known = contacts_csv.address(address)
    if not known:
        raise BadItem("address", "This is no mail address: write it like ada@firm.example.")
    return world.state.add_mailbox(connection, known, owner)


def find(world: World, connection: str, address: str) -> MailboxRow | None:
    """The mailbox in scope with this address, or None."""
    return world.state.mailbox(world.keys.of("mailbox", connection, contacts_csv.address(address) or address))


def status(world: World, row: MailboxRow) -> Shown:
    """How a mailbox stands now."""
    return shown(row, world.state.wants.of(row.id), world.state.waits(row.connection), world.clock())


def busy(world: World, row: MailboxRow) -> bool:
    """Whether anything that is wanted of a mailbox was not served yet."""
    return any(want.open for want in world.state.wants.of(row.id))


def page(world: World, limit: int, after: str = "") -> list[Standing]:
    """Up to `limit` mailboxes by id, from behind `after` on; two requests for each partition they lie in."""
    rows = world.state.mailboxes_after(after, limit)
    wants: dict[str, list[Want]] = {}
    for _, some in groupby(rows, lambda row: row.id[0]):
        ids = [row.id for row in some]
        for want in world.state.wants.between(ids[0], ids[-1]):
            wants.setdefault(want.mailbox, []).append(want)
    now = world.clock()
    return [Standing(row, shown(row, wants.get(row.id, ()), world.state.waits(row.connection), now)) for row in rows]


def all_standings(world: World) -> Iterator[Standing]:
    """All mailboxes in scope."""
    wants: dict[str, list[Want]] = {}
    for want in world.state.wants.all():
        wants.setdefault(want.mailbox, []).append(want)
    now = world.clock()
    for row in world.state.mailboxes():
        yield Standing(row, shown(row, wants.get(row.id, ()), world.state.waits(row.connection), now))


def counted(world: World) -> Mapping[Cause, int]:
    """How many mailboxes have which status, by its cause."""
    return Counter(one.status.cause for one in all_standings(world))


def sync_now(world: World, row: MailboxRow) -> None:
    """Have a mailbox looked at at once; while Microsoft asks us to wait, as soon as that is over."""
    world.state.wants.want(row.id, "mail")
    dispatch.put(world, "mail", Job(row.connection, "mail", (row.id,), "asked"))


def switch(world: World, row: MailboxRow, off: bool) -> MailboxRow:
    """Switch a mailbox off, or on again: then what came meanwhile follows with its next round."""
    return world.state.note(_now(world, row), off=off)


def assign(world: World, row: MailboxRow, owner: str) -> MailboxRow:
    """Say whose mailbox it is: mail known from a Bcc alone is shown to this CRM user from now on."""
    return world.state.note(_now(world, row), owner=owner)


def reset(world: World, row: MailboxRow) -> None:
    """Forget every place of a mailbox, and what kept it from going on, and read it again from the start; mail that is
    there already is recognised."""
    world.state.forget(row.id)
    for want in world.state.wants.of(row.id):
        if want.trouble or want.failures:
            world.state.wants.mended(row.id, want.stream)
    again = _now(world, row)
    world.state.note(again, user="", own=(), met=False, trouble=None, newest="", backfill="running")
    world.state.wants.want(row.id, "mail")


def remove(world: World, row: MailboxRow) -> None:
    """Take a mailbox out of scope. Its own exclusions stay, for when it comes back."""
    # The row first: from then on no job touches it. What a crash leaves behind is taken up where it comes back.
    world.state.drop_mailbox(row.id)
    world.state.forget(row.id)
    world.state.wants.forget(row.id)


def _now(world: World, row: MailboxRow) -> MailboxRow:
    # A change is written where it differs from the row: an old one would hide that it does.
    return world.state.mailbox(row.id) or row
