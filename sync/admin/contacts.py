"""`import`: contacts from a file into the built-in CRM."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from sync.admin.arguments import DONE, PART, Commands, Desk
from sync.admin.render import Column, amount
from sync.admin.screen import Told
from sync.errors import BadCommand, NotReached

CONTACTS = "/api/crm/contacts"
VCARDS = (".vcf", ".vcard")


def add(commands: Commands) -> None:
    """Have this command understood."""
    commands.leaf("import", _import, "contacts from a CSV file or vCards; twice is once", "FILE the file, up to 100 MB")


class Upload:
    """A file on its way, which says how far it is."""

    def __init__(self, data: bytes, told: Told) -> None:
        self._left = io.BytesIO(data)
        self._size = len(data)
        self._told = told

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(64 * 1024):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        piece = self._left.read(size)
        gone = self._left.tell()
        if gone < self._size:
            self._told(gone / self._size, "Sending")
        else:
            self._told(None, "The service takes the contacts in")
        return piece


def _import(asked: Namespace, desk: Desk) -> int:
    data = _read(desk.shell.folder / Path(asked.file))
    named = Path(asked.file).suffix.lower() in VCARDS
    vcard = named or data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().upper().startswith(b"BEGIN:VCARD")
    with desk.screen.progress("Sending") as told:
        try:
            kind = "text/vcard" if vcard else "text/csv"
            answer = desk.client.upload(f"{CONTACTS}/import", Upload(data, told) if data else data, kind).json
        except NotReached as error:
            # Azure ends a request after 230 seconds, whatever is done by then.
            remedy = f"{error.remedy} What is imported by then is recognised, so the same file may be sent again."
            raise NotReached(error.sentence, remedy) from None
    columns = [Column("line", right=True), Column("what is wrong", wraps=True, least=20)]
    rows = [(one["line"], one["sentence"]) for one in answer["errors"]]
    untold = answer["error_count"] - len(rows)
    said = (
        f"{amount(answer['imported'], 'contact')} new or changed, {answer['unchanged']} as they were, "
        f"{amount(answer['error_count'], 'error')}."
    )
    rest = f"and {amount(untold, 'error')} more" if untold > 0 else ""
    desk.screen.show(answer, said, desk.screen.table(columns, rows, ""), rest)
    return PART if answer["error_count"] else DONE


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise BadCommand("The file cannot be read.", "Name a CSV file or a file of vCards.") from None
