"""Mail for the benchmark: exact shares, the same every time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dev.firm import Firm
from dev.tenant import Tenant
from dev.tenant.synthetic import OWNER, quiet_firm, synthetic_firm
from tests.contracts.tenant_world import DAY


def firm(messages: int = 400, folders: int = 8, body_kb: float = 4) -> Firm:
    return synthetic_firm(DAY, messages, folders, 6, 0.2, 50, body_kb)


def test_the_shares_are_exact() -> None:
    made = firm()
    [mailbox] = made.mailboxes
    known = {address for client in made.contacts for address in client.addresses}
    others = [one.to[0] if one.author == OWNER else one.author for one in mailbox.mail]

    assert (len(mailbox.mail), len(made.contacts)) == (400, 50)
    assert sum(one is not None and one.address in known for one in others) == 80
    assert sum(one.folder == "sentitems" for one in mailbox.mail) == 100
    assert all((one.author == OWNER) == (one.folder == "sentitems") for one in mailbox.mail)


@pytest.mark.parametrize("folders", [2, 3, 8, 12])
def test_mail_lies_in_as_many_folders_as_asked_for(folders: int) -> None:
    [mailbox] = firm(folders=folders).mailboxes

    found = Counter(one.folder for one in mailbox.mail)

    assert len(found) == folders and {"inbox", "sentitems"} <= set(found)


def test_mail_is_spread_evenly_up_to_noon_of_the_day_before() -> None:
    [mailbox] = firm().mailboxes
    times = [one.sent for one in mailbox.mail if one.sent]

    steps = {(later - earlier) // timedelta(seconds=2) for earlier, later in pairwise(times)}

    assert times[-1] == datetime(2026, 11, 19, 12, tzinfo=UTC)
    assert times[-1] - times[0] < timedelta(days=180)
    assert max(steps) - min(steps) <= 1


def test_bodies_have_the_size_asked_for_and_differ() -> None:
    [mailbox] = firm(body_kb=20).mailboxes

    sizes = [len(one.body) / 1024 for one in mailbox.mail]

    assert min(sizes) > 19 and max(sizes) < 22
    assert len({one.body for one in mailbox.mail}) == len(mailbox.mail)


def test_the_same_arguments_give_the_same_firm_and_the_same_ids() -> None:
    def ids() -> list[str]:
        tenant = Tenant(DAY, lambda: datetime.now(UTC))
        tenant.load(firm())
        return list(tenant.user(OWNER.address).messages)

    assert firm() == firm()
    assert ids() == ids()
    assert len(set(ids())) == 400


def test_a_shape_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="two folders"):
        firm(folders=1)


def test_a_quiet_firm_has_one_message_in_each_folder_of_each_mailbox() -> None:
    made = quiet_firm(DAY, mailboxes=3, folders=8)

    assert [len(one.mail) for one in made.mailboxes] == [8, 8, 8]
    assert all(len({mail.folder for mail in one.mail}) == 8 for one in made.mailboxes)
    assert len({mail.message_id for one in made.mailboxes for mail in one.mail}) == 24
