"""Contacts out of the vCards that phones and mail programs write."""

from __future__ import annotations

import base64
import io
import quopri
import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.contacts_csv import CsvContact, Problem
from sync.crm.lines import File, lines_of
from sync.crm.vcard import cards
from sync.errors import BadItem
from tests.core.contact_files import Found, found


def read(file: File) -> Found:
    return found(cards(lines_of(file)))


OUTLOOK = (
    "BEGIN:VCARD\r\nVERSION:2.1\r\nN;LANGUAGE=en-gb;CHARSET=Windows-1252:Client;Rosa;M.;Dr.\r\n"
    "FN;CHARSET=Windows-1252:Dr. Rosa M. Client\r\nORG:Client Ltd;Sales\r\nTEL;WORK;VOICE:1\r\n"
    "ADR;WORK;PREF;ENCODING=QUOTED-PRINTABLE:;;1 Main Street=0D=0A=\r\nEMAIL:nobody@client.example=\r\n;Town\r\n"
    "EMAIL;INTERNET:rosa@home.example\r\nEMAIL;PREF;INTERNET:Rosa@Client.example\r\n"
    "PHOTO;TYPE=JPEG;ENCODING=BASE64:\r\n /9j/4AAQSkZJRgABAQEAYABgAAD\r\n RU1BSUw6eEB4LmV4YW1wbGU=\r\n\r\n"
    'X-MS-OL-DESIGN;CHARSET=utf-8:<card xmlns="http://x.example"/>\r\nEND:VCARD\r\n'
)
PHONE = (
    "BEGIN:VCARD\nVERSION:2.1\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=47=72=C3=B6=C3=9F=65;=4A=C3=B6=72=67;;;\n"
    "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=4A=C3=B6=72=67=20=\n=47=72=C3=B6=C3=9F=65\n"
    "EMAIL;HOME:j@client.example\nEND:VCARD\n"
)
APPLE = (
    "BEGIN:VCARD\nVERSION:3.0\nPRODID:-//Example//EN\nN:Client;Rosa;;;\nFN:Rosa Client\n"
    "item1.EMAIL;type=INTERNET;type=HOME:rosa@home.example\nitem1.X-ABLabel:_$!<Home>!$_\n"
    "item2.EMAIL;type=INTERNET;type=WORK;type=pref:rosa@client.example\nEND:VCARD\n"
)
GOOGLE = (
    "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Client\\, Rosa\\; the\\n fi\r\n rst\r\nN:Client\\;Smith;Rosa;;;\r\n"
    "EMAIL;TYPE=INTERNET;\r\n\tTYPE=WORK:rosa@cli\r\n ent.example\r\n"
    "NOTE:one\\n\r\n EMAIL:other@x.example\r\nEND:VCARD\r\n"
)
NEW = (
    'begin:vcard\nversion:4.0\nfn;altid=1;language="a:b;c":Rosa Client\nfn;altid=1:Rosa Kunde\n'
    "email;pref=50:second@client.example\nemail;pref=x:last@client.example\n"
    'EMAIL;VALUE=uri;TYPE="home,work";PREF=2:mailto:first@client.example\nEMAIL:\nend:vcard'
)


@pytest.mark.parametrize(
    ("text", "name", "addresses"),
    [
        (OUTLOOK, "Dr. Rosa M. Client", ("rosa@client.example", "rosa@home.example")),
        (PHONE, "Jörg Größe", ("j@client.example",)),
        (APPLE, "Rosa Client", ("rosa@client.example", "rosa@home.example")),
        (GOOGLE, "Client, Rosa; the first", ("rosa@client.example",)),
        (NEW, "Rosa Client", ("first@client.example", "second@client.example", "last@client.example")),
    ],
    ids=["Outlook 2.1", "Android 2.1", "Apple 3.0", "Google 3.0", "4.0"],
)
def test_the_cards_of_well_known_programs_are_read(text: str, name: str, addresses: tuple[str, ...]) -> None:
    told = read(text)

    assert told.contacts == (CsvContact(1, name, addresses),)
    assert told.errors == ()


def card(*lines: str, end: str = "\n") -> str:
    return end.join(("BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""))


def one(*lines: str) -> CsvContact:
    """The contact of a card with these lines and an address."""
    (found,) = read(card(*lines, "EMAIL:r@client.example")).contacts
    return found


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["FN:Rosa"], "Rosa"),
        (["FN: ", "FN:Rosa", "FN:Eve"], "Rosa"),
        (["FN:", "N:Client;Rosa;Maria;Dr.;MBA"], "Rosa Maria Client"),
        (["N:Client"], "Client"),
        (["N:;;;;", "ORG:Client\\; Sons;Sales"], "Client; Sons"),
        (["N:Client;Rosa", "ORG:Client Ltd"], "Rosa Client"),
        (["NOTE:none"], ""),
        (["FN:back\\\\slash \\x \\"], "back\\slash \\x \\"),
        (["FN:=HYPERLINK(1)\x00\x1b[2J"], "=HYPERLINK(1) [2J"),
        (["FN;X=a:b:Rosa"], "b:Rosa"),
        (['FN;X="a:b":Rosa'], "Rosa"),
        (['FN;X="a:Rosa'], "Rosa"),
        (['FN;X=a"b;c="d:Rosa'], "Rosa"),
        (["FN;ENCODING=B:" + base64.b64encode("Jörg".encode()).decode()], "Jörg"),
        (["FN;ENCODING=BASE64;CHARSET=ISO-8859-1:" + base64.b64encode("Jörg".encode("latin-1")).decode()], "Jörg"),
        (["FN;ENCODING=B:a"], "a"),
        (["FN;QUOTED-PRINTABLE:J=C3=B6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=ISO-8859-1:J=F6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=UTF-8:J=F6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=no-such:J=C3=B6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=rot13:J=C3=B6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=unicode_escape:J=C3=B6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=\x00:J=C3=B6rg"], "Jörg"),
        (["FN;QUOTED-PRINTABLE;CHARSET=Shift_JIS:=89=D4=8Eq"], "花子"),
        (["FN;QUOTED-PRINTABLE:Jö=72g"], "Jörg"),
        (["FN;CHARSET=UTF-8:JÃ¶rg"], "Jörg"),
        (["FN;CHARSET=UTF-8:Jörg 花"], "Jörg 花"),
        (["FN;CHARSET=ISO-8859-1:5 €"], "5 €"),
        (["FN:Ro", " sa", "\t Client"], "Rosa Client"),
        ([" FN:folded into the version", "FN:Rosa"], "Rosa"),
        (["", " FN:folded into nothing", "FN:Rosa"], "Rosa"),
    ],
)
def test_the_name_is_what_is_shown_else_its_parts_else_the_organisation(lines: list[str], name: str) -> None:
    assert one(*lines).name == name


def test_a_line_of_version_two_is_broken_at_a_space_and_an_address_never_is() -> None:
    text = "BEGIN:VCARD\nFN:Rosa\n Client\nEMAIL:rosa@cli\n ent.example\nVERSION:2.1\nEND:VCARD\n"

    assert read(text).contacts == (CsvContact(1, "Rosa Client", ("rosa@client.example",)),)


def test_addresses_are_folded_told_once_and_taken_out_of_angle_brackets() -> None:
    lines = ("EMAIL:Rosa <ROSA@client.example>", "EMAIL:rosa@client.example", "EMAIL:MAILTO:eve@client.example")

    assert read(card(*lines)).contacts[0].addresses == ("rosa@client.example", "eve@client.example")


def test_a_card_without_an_address_is_an_error_with_its_line_and_the_others_are_read() -> None:
    told = read("\n" + card("FN:Ben", "TEL:1") + "\n" + card("FN:Rosa", "EMAIL:r@client.example"))

    assert [(one.line, one.name) for one in told.contacts] == [(8, "Rosa")]
    assert told.errors == ((2, "The card has no mail address that can be used."),)


def test_a_bad_address_is_named_and_a_good_one_beside_it_kept() -> None:
    told = read(card("FN:Rosa", "EMAIL;EX:/o=Exchange/cn=rosa", "EMAIL:r@client.example"))

    assert told.contacts == (CsvContact(1, "Rosa", ("r@client.example",)),)
    assert told.errors == ((1, "'/o=Exchange/cn=rosa' is not a mail address."),)


def test_cards_that_do_not_end_are_errors_and_take_nobody_along() -> None:
    good = card("FN:Rosa", "EMAIL:r@client.example")
    broken = "BEGIN:VCARD\nFN:Ben\nEMAIL:b@client.example\n"

    told = read(broken + good + broken + good + broken)

    assert [(one.line, one.name) for one in told.contacts] == [(4, "Rosa"), (12, "Rosa")]
    assert told.errors == (
        (1, "The card does not end: there is no END:VCARD before the next card."),
        (9, "The card does not end: there is no END:VCARD before the next card."),
        (17, "The card does not end: there is no END:VCARD before the end of the file."),
    )


@pytest.mark.parametrize(
    "agent",
    [
        "AGENT:\nBEGIN:VCARD\nVERSION:2.1\nFN:Susan\nEMAIL:s@client.example\nEND:VCARD",
        "AGENT;X=1:\n\nBEGIN:VCARD\nFN:Susan\nAGENT:\nBEGIN:VCARD\nEMAIL:x@client.example\nEND:VCARD\nEND:VCARD",
        "AGENT:BEGIN:VCARD\nFN:Susan\nEMAIL:s@client.example\nEND:VCARD",
        "AGENT:BEGIN:VCARD\\nFN:Susan\\nEMAIL:s@client.example\\nEND:VCARD\\n",
        "AGENT;VALUE=uri:CID:1@client.example",
        "AGENT:",
    ],
)
def test_a_card_within_a_card_is_passed_over(agent: str) -> None:
    told = read(card("FN:Rosa", *agent.split("\n"), "EMAIL:r@client.example"))

    assert told.contacts == (CsvContact(1, "Rosa", ("r@client.example",)),)
    assert told.errors == ()


def test_files_put_one_behind_the_other_stay_apart() -> None:
    rosa, eve = card("FN:Rosa", "EMAIL:r@client.example"), card("FN:Eve", "EMAIL:e@client.example")

    told = read(f"\ufeff{rosa.strip()}{eve}\ufeff{rosa}\nsome words\nEND:VCARD\n{eve}")

    assert [one.name for one in told.contacts] == ["Rosa", "Eve", "Rosa", "Eve"]
    assert told.errors == ()


def test_a_value_that_was_cut_off_does_not_swallow_the_end_of_its_card() -> None:
    cut = card("EMAIL:r@client.example", "FN;ENCODING=QUOTED-PRINTABLE:Rosa=")

    assert [one.name for one in read(cut + card("FN:Eve", "EMAIL:e@client.example")).contacts] == ["Rosa", "Eve"]


@pytest.mark.parametrize("text", ["", "\n", "Name,Email\nRosa,r@client.example\n", "BEGIN:VCALENDAR\nEND:VCALENDAR\n"])
def test_what_is_no_file_of_cards_is_refused(text: str) -> None:
    with pytest.raises(BadItem, match="holds no vCard"):
        read(text)


def test_what_is_cut_off_is_said() -> None:
    many = [f"EMAIL:r{number}@client.example" for number in range(60)]

    told = read(card("FN:" + "x" * 401, *many))

    (rosa,) = told.contacts
    assert (len(rosa.name), len(rosa.addresses)) == (400, 50)
    assert [line for line, _ in told.errors] == [1, 1]


def test_a_list_of_numbers_is_read_to_its_end_and_every_card_is_told() -> None:
    told = read(card("FN:Ben", "TEL:1") * 1_500 + card("FN:Rosa", "EMAIL:r@client.example"))

    assert [one.name for one in told.contacts] == ["Rosa"]
    assert [line for line, _ in told.errors] == list(range(1, 7_500, 5))


# -- without end


def test_cards_are_told_one_by_one_as_the_file_is_read() -> None:
    def lines() -> Iterator[str]:
        while True:
            yield from card("FN:Rosa", "EMAIL:r@client.example").splitlines(keepends=True)

    assert [told.line for told in islice(cards(lines()), 3)] == [1, 6, 11]


@pytest.mark.parametrize("line", [" {}\n", "EMAIL:{}@x.example\n", "{}=\n", "AGENT:\n", "FN;X={}:{}\n", "{}\n"])
def test_a_card_without_end_is_held_in_little_memory(line: str) -> None:
    def lines() -> Iterator[str]:
        yield from ("BEGIN:VCARD\n", "NOTE;QUOTED-PRINTABLE:=\n", "EMAIL:\n")
        yield from (line.replace("{}", f"{number:01000}") for number in range(10_000))

    tracemalloc.start()
    (told,) = cards(lines())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(told, Problem)
    assert peak < 1_000_000


@pytest.mark.parametrize("piece", ['"', ';"', "\\", "a.", ";a=", ":", "=", "BEGIN:VCARD", "\ufeff"])
def test_a_line_without_end_costs_little(piece: str) -> None:
    start = time.perf_counter()
    read(card(*(f"{name}{piece * 20_000}:x" for name in ("FN", "EMAIL;", "N:", "item1.EMAIL;X=", ""))))

    assert time.perf_counter() - start < 1


TOKENS = ["BEGIN:VCARD", "END:VCARD", "\n", "\n", "\r\n", " ", "AGENT:", "EMAIL", "FN", "N", "ORG", ";", ":", "=", '"']
TOKENS += [
    "a@x.example",
    "ENCODING=QUOTED-PRINTABLE",
    "ENCODING=B",
    "CHARSET=",
    "UTF-16",
    "hex",
    "PREF=",
    "9",
    "ä",
    "\\",
]
TOKENS += ["\ud800", "\x00"]


@given(st.lists(st.sampled_from(TOKENS), max_size=60))
def test_no_text_stops_the_reader_and_every_line_it_names_begins_a_card(tokens: list[str]) -> None:
    text = "BEGIN:VCARD\n" + "".join(tokens)
    lines = list(io.StringIO(text, newline=""))

    told = read(text)

    named = [one.line for one in told.contacts] + [line for line, _ in told.errors]
    assert named
    assert all("BEGIN:VCARD" in lines[line - 1] for line in named)
    assert all("@" in address for one in told.contacts for address in one.addresses)


_PEOPLE = st.lists(
    st.tuples(st.text(alphabet="Ab é,;:\\=\"'ß花", max_size=30), st.integers(0, 10**6), st.integers(1, 20)),
    min_size=1,
    max_size=8,
)


@given(_PEOPLE, st.sampled_from(["3.0", "4.0"]))
def test_well_formed_cards_are_read_whole_wherever_their_lines_are_folded(
    people: list[tuple[str, int, int]], version: str
) -> None:
    def folded(line: str, width: int) -> str:
        return "\r\n ".join([line[:12], *(line[at : at + width] for at in range(12, len(line), width))])

    def written(name: str, number: int, width: int) -> str:
        escaped = name.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
        lines = (f"VERSION:{version}", folded(f"FN;X=1:{escaped}", width), folded(f"EMAIL:p{number}@x.example", width))
        return "\r\n".join(("BEGIN:VCARD", *lines, "END:VCARD", ""))

    told = read("".join(written(*person) for person in people))

    assert told.errors == ()
    assert [(one.name, one.addresses) for one in told.contacts] == [
        (" ".join(name.split()), (f"p{number}@x.example",)) for name, number, _ in people
    ]


@given(_PEOPLE, st.sampled_from(["utf-8", "utf-16-le", "gb18030"]))
def test_well_formed_old_cards_are_read_whole(people: list[tuple[str, int, int]], charset: str) -> None:
    def written(name: str, number: int) -> str:
        data = "".join(f"={byte:02X}" for byte in name.encode(charset))
        broken = "=\r\n".join(data[at : at + 60] for at in range(0, max(len(data), 1), 60))
        head = f"FN;CHARSET={charset};ENCODING=QUOTED-PRINTABLE:"
        return f"BEGIN:VCARD\r\nVERSION:2.1\r\n{head}{broken}\r\nEMAIL:p{number}@x.example\r\nEND:VCARD\r\n"

    told = read("".join(written(name.replace("\\", "/"), number) for name, number, _ in people))

    assert told.errors == ()
    assert [one.name for one in told.contacts] == [" ".join(name.replace("\\", "/").split()) for name, *_ in people]


def test_what_the_standard_library_encodes_is_read() -> None:
    name = "Jörg " * 30
    encoded = quopri.encodestring(name.encode()).decode()

    assert one(f"FN;ENCODING=QUOTED-PRINTABLE:{encoded}").name == name.strip()
