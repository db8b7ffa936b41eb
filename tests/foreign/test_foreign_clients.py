"""Clients that others wrote read and send mail through the tenant, unchanged, over TLS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.tenant import Switches
from tests.contracts.tenant_world import ADA, BOB
from tests.foreign.foreign_world import NODE_MODULES, Foreign, needs, open_foreign

NEWEST_FIRST = [f"Mail {at}" for at in range(24, -1, -1)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Foreign]:
    with open_foreign(tmp_path) as made:
        yield made


def subjects(world: Foreign, address: str, folder: str) -> list[str]:
    box = world.tenant.user(address)
    return [message.mail.subject for _, _, message in box.folder(folder).messages.rows]


def test_python_o365_reads_pages_and_files_and_sends_a_large_one(tmp_path: Path) -> None:
    needs("O365", "O365")
    with open_foreign(tmp_path, Switches(upload_host="outlook.office.com")) as world:
        seen = world.python("read_and_send_o365.py")

        assert seen["subjects"] == NEWEST_FIRST
        assert [name for name, _ in seen["files"]] == ["plan.pdf", "logo.png"]
        assert (seen["found"], seen["body"]) == (["Mail 3"], "<p>Body 24</p>")
        assert all(seen[one] for one in ("drafted", "sent", "replied", "archived", "deleted"))
        assert [(one.subject, one.recipients) for one in world.tenant.outbox] == [
            ("From python-o365", (BOB, "secret@client.example")),
            ("RE: Mail 23", ("cy@client.example",)),
        ]
        [arrived] = world.bob.messages.values()
        assert [len(file.content) for file in arrived.mail.attachments] == [3_500_000]
        assert arrived.mail.bcc == ()
        assert sorted(subjects(world, ADA, "sentitems")) == ["From python-o365", "RE: Mail 23"]


def test_the_office365_rest_client_reads_pages_deltas_and_files_and_sends(world: Foreign) -> None:
    needs("Office365-REST-Python-Client", "office365")

    seen = world.python("read_and_send_office365.py")

    assert seen["subjects"] == NEWEST_FIRST
    assert set(seen["changes"]) <= set(NEWEST_FIRST) and seen["changes"]
    assert (seen["files"], seen["content"]) == (["plan.pdf", "logo.png"], "%PDF")
    assert (seen["found"], seen["moved"]) == (["Mail 3"], "Mail 22")
    assert [one.subject for one in world.tenant.outbox] == ["From the REST client", "A draft"]
    assert world.tenant.outbox[0].bcc == ("secret@client.example",)
    assert sorted(subjects(world, BOB, "inbox")) == ["A draft", "From the REST client"]
    assert sorted(subjects(world, ADA, "sentitems")) == ["A draft", "From the REST client"]


def test_the_microsoft_graph_client_reads_searches_follows_changes_and_sends(world: Foreign) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "@microsoft" / "microsoft-graph-client").is_dir():
        pytest.skip("@microsoft/microsoft-graph-client is not installed; dev/package.json names it.")
    client = Path(__file__).parent / "clients" / "read_and_send_graph_client.mjs"

    seen = world.run(node, str(client), NODE_MODULES=str(NODE_MODULES))

    assert seen["subjects"] == NEWEST_FIRST
    assert sorted(seen["told"]) == sorted(NEWEST_FIRST)
    assert (seen["files"], seen["content"]) == (["plan.pdf", "logo.png"], "%PDF")
    assert (seen["found"], seen["unread"]) == (["Mail 3"], 25)
    assert (seen["uploaded"], seen["sent"]) == (True, ["Draft with a large file", False, True])
    assert (seen["moved"], seen["later"]) == ("Mail 22", ["Mail 23", "-", "-"])
    assert (seen["refusal"], sorted(seen["batch"])) == ("404 ErrorItemNotFound", [200, 404])
    assert [one.recipients for one in world.tenant.outbox] == [
        (BOB, "secret@client.example"),
        ("cy@client.example",),
    ]
