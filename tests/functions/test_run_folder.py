"""The demo's data folder, and what a start loads into the product."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.firm import Client, Firm
from dev.run_folder import DataFolder, InUse, inventory
from dev.run_parts import View, contacts_csv, longest_timelines, settings_for
from dev.sample import sample_firm
from sync.meter import Meter
from sync.storage import open_storage, prepare

NOBODY = "00000000-0000-0000-0000-000000000000"


def test_what_the_first_start_settles_stays(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "sample")
    first.settle(owner="ada@firm.example", contacts="digest")
    first.close()

    later = DataFolder(tmp_path / "sample")
    later.close()

    assert later.settled == first.settled
    assert later.settled.owner == "ada@firm.example"
    assert len(base64.b64decode(later.settled.digest_key)) == 32
    assert (tmp_path / "sample" / "settled.json").stat().st_mode & 0o077 == 0


def test_an_open_data_folder_is_opened_by_nobody_else(tmp_path: Path) -> None:
    held = DataFolder(tmp_path)

    with pytest.raises(InUse, match=rf"already runs on .* \(process {os.getpid()}\): stop it first"):
        DataFolder(tmp_path)

    held.close()
    DataFolder(tmp_path).close()


def test_storage_of_a_killed_start_is_waited_for_only_while_it_lives(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        gone.wait()
    folder.note_storage(gone.pid)
    begun = time.monotonic()

    folder.wait_for_storage()

    assert time.monotonic() - begun < 2
    folder.close()


def test_an_inventory_changes_with_a_file_a_name_or_a_size(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "a.eml"
    file.write_bytes(b"one")
    seen = [inventory(tmp_path), inventory(tmp_path)]
    file.write_bytes(b"longer")
    seen.append(inventory(tmp_path))
    file.rename(tmp_path / "deep" / "b.eml")
    seen.append(inventory(tmp_path))
    (tmp_path / "c.eml").write_bytes(b"")
    seen.append(inventory(tmp_path))

    assert seen[0] == seen[1]
    assert len(set(seen)) == 4
    assert [one.split()[0] for one in seen] == ["1", "1", "1", "1", "2"]


# Into the product


def view_of(folder: DataFolder, firm: Firm, connection: str) -> View:
    ready = {"tenant_id": NOBODY, "client_id": NOBODY, "client_secret": "not used here"}
    return View(settings_for(folder, firm, ready, connection), 1)


def test_contacts_that_the_storage_of_a_killed_start_lost_are_imported_again(
    accounts: Iterator[str], tmp_path: Path
) -> None:
    whole, lost = next(accounts), next(accounts)
    folder = DataFolder(tmp_path)
    firm = sample_firm(folder.day)
    told = []
    people = []
    for connection in (whole, whole, lost):
        prepare(connection)
        view = view_of(folder, firm, connection)
        told.append(view.load(firm, folder))
        view.close()
        stored = open_storage(connection, Meter())
        people.append(sum(row.key.startswith("r|c") for row in stored.tables.scan("CrmRecords", select=("type",))))
        stored.close()
    folder.close()

    assert people == [12, 12, 12]
    (sentence,) = told[0]
    assert sentence.startswith("dev/sample/contacts.csv, line 10: The row has no mail address")
    assert sentence.endswith("(Left in on purpose, to show it.)")
    assert told[1:] == [[], [sentence]]


def test_the_busiest_contact_has_most_lines_and_of_equals_the_newest_mail() -> None:
    keys = [
        "c1|500|m1",
        "c1|400|m2",
        "c2|300|m1",
        "c2|900|m3",
        "c3|300|m1",
        "c3|301|m9",
        "c4|100|m4",
        "u1|1|a",
        "u1|2|b",
    ]
    keys += ["u1|3|c"]

    assert longest_timelines(keys) == (["c2", "c3"], 2)
    assert longest_timelines([]) == ([], 0)


def test_contacts_become_a_file_as_address_books_export_it() -> None:
    text = contacts_csv([Client('Ö "Quote", Ltd\nx', ("a@b.example", "c@d.example"))])

    assert text == 'Name,Email\r\n"Ö ""Quote"", Ltd x",a@b.example;c@d.example\r\n'
