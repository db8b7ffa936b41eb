"""Contacts out of the files that Outlook, Google Contacts and Salesforce export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.contacts_csv import CsvContact, rows
from sync.crm.lines import File, lines_of
from sync.errors import BadItem
from tests.core.contact_files import Found, found


def read(file: File) -> Found:
    return found(rows(lines_of(file)))


OUTLOOK = (
    '"Title","First Name","Middle Name","Last Name","Company","E-mail Address","E-mail Type","E-mail Display Name",'
    '"E-mail 2 Address","E-mail 2 Type","E-mail 3 Address","Notes"\r\n'
    '"Dr.","Rosa","M.","Client","Client Ltd","Rosa@client.example","SMTP","Rosa (work)",'
    '"","","rosa@home.example","likes\r\nlong ""notes"", and commas"\r\n'
)
# As new Outlook and Outlook on the web write it: the same names, no quotation marks, a mark of byte order.
OUTLOOK_NEW = (
    "\ufeffFirst Name,Middle Name,Last Name,Title,Suffix,Nickname,Given Yomi,Surname Yomi,E-mail Address,"
    "E-mail 2 Address,E-mail 3 Address,Home Phone,Mailing Street\r\nRosa,,Client,,,,,,r@client.example,,,,\r\n"
)
OUTLOOK_GERMAN = (
    "Anrede;Vorname;Nachname;Firma;E-Mail-Adresse;E-Mail-Typ;E-Mail 2: Adresse\r\n;Jörg;Kunde;;j@kunde.example;;\r\n"
)
GOOGLE = (
    "First Name,Middle Name,Last Name,Organization Name,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,"
    "E-mail 2 - Value\n"
    "Rosa,,Client,Client Ltd,* Work,rosa@client.example ::: r@client.example,Other,r2@client.example\n"
)
GOOGLE_OLD = (
    "Name,Given Name,Family Name,E-mail 1 - Type,E-mail 1 - Value\nRosa Client,Rosa,Client,* ,r@client.example\n"
)
SALESFORCE = (
    '"Contact ID","Salutation","First Name","Last Name","Account Name","Email","Email Opt Out"\n'
    '"003","Ms","Rosa","Client","Client Ltd","r@client.example","0"\n'
)
SALESFORCE_LOADER = (
    '"ID","FIRSTNAME","LASTNAME","NAME","EMAIL"\n"003","Rosa","Client","Rosa Client","r@client.example"\n'
)
SALESFORCE_API = (
    "Id\tFirstName\tLastName\tName\tEmail\tHasOptedOutOfEmail\n1\tR\tC\tRosa Client\tr@client.example\tfalse\n"
)


@pytest.mark.parametrize(
    ("text", "line", "name", "addresses"),
    [
        (OUTLOOK, 2, "Rosa M. Client", ("rosa@client.example", "rosa@home.example")),
        (OUTLOOK_NEW, 2, "Rosa Client", ("r@client.example",)),
        (OUTLOOK_GERMAN, 2, "Jörg Kunde", ("j@kunde.example",)),
        (GOOGLE, 2, "Rosa Client", ("rosa@client.example", "r@client.example", "r2@client.example")),
        (GOOGLE_OLD, 2, "Rosa Client", ("r@client.example",)),
        (SALESFORCE, 2, "Rosa Client", ("r@client.example",)),
        (SALESFORCE_LOADER, 2, "Rosa Client", ("r@client.example",)),
        (SALESFORCE_API, 2, "Rosa Client", ("r@client.example",)),
        ("sep=;\nName;Mail\nRosa;r@client.example", 3, "Rosa", ("r@client.example",)),
        ("\n\nDisplay Name,mail\nRosa,r@client.example\n", 4, "Rosa", ("r@client.example",)),
    ],
    ids=[
        "Outlook",
        "new Outlook",
        "German Outlook",
        "Google",
        "Google before 2024",
        "Salesforce report",
        "Salesforce Data Loader",
        "Salesforce data",
        "sep=",
        "Entra",
    ],
)
def test_the_columns_of_well_known_exports_are_found(
    text: str, line: int, name: str, addresses: tuple[str, ...]
) -> None:
    told = read(text)

    assert told.contacts == (CsvContact(line, name, addresses),)
    assert told.errors == ()


def test_a_mark_of_byte_order_left_in_the_text_does_not_hide_the_first_column() -> None:
    assert read("\ufeffEmail\nr@client.example\n").contacts[0].addresses == ("r@client.example",)


def test_a_row_without_an_address_is_an_error_that_names_its_line_and_the_others_are_kept() -> None:
    told = read('Name,Email,Notes\nRosa,r@client.example,"two\nlines"\nBen,,\n,,\nEve,e@client.example,\n')

    assert [(one.line, one.name) for one in told.contacts] == [(2, "Rosa"), (6, "Eve")]
    assert told.errors == ((4, "The row has no mail address that can be used."),)


def test_a_bad_address_is_named_and_a_good_one_beside_it_kept() -> None:
    told = read("Name,Email,Other Email\nRosa,not an address,r@client.example\nBen,/o=Exchange/cn=ben,\n")

    assert told.contacts == (CsvContact(2, "Rosa", ("r@client.example",)),)
    assert told.errors == (
        (2, "'not an address' is not a mail address."),
        (3, "'/o=Exchange/cn=ben' is not a mail address."),
        (3, "The row has no mail address that can be used."),
    )


def test_rows_with_too_few_or_too_many_columns_are_errors() -> None:
    told = read("Name,Email\nRosa\nBen,b@client.example,more\nEve,e@client.example\n")

    assert [one.name for one in told.contacts] == ["Eve"]
    assert told.errors == (
        (2, "The row has 1 columns, the header has 2."),
        (3, "The row has 3 columns, the header has 2."),
    )


def test_a_quotation_mark_that_is_never_closed_takes_only_its_own_row_along() -> None:
    told = read('Name,Email\nRosa,r@client.example\n"Ben,b@client.example\nEve,e@client.example\nJoe,j@client.example')

    assert [one.name for one in told.contacts] == ["Rosa", "Eve", "Joe"]
    assert [line for line, _ in told.errors] == [3]


def test_a_quotation_mark_closed_by_a_later_row_does_not_hide_the_rows_between() -> None:
    told = read(
        'Name,Email\n"Ben,b@client.example\nEve,e@client.example\n"Joe",j@client.example\nAnn,a@client.example\n'
    )

    assert [one.name for one in told.contacts] == ["Eve", "Joe", "Ann"]
    assert [line for line, _ in told.errors] == [2]


def test_marks_within_a_line_are_taken_as_they_come() -> None:
    told = read('Name,Email\n"Ben" Jones,b@client.example\nJoe "J" Doe,j@client.example\n')

    assert [one.name for one in told.contacts] == ["Ben Jones", 'Joe "J" Doe']
    assert told.errors == ()


def test_a_cell_beyond_all_measure_is_an_error_of_its_row() -> None:
    told = read(f"Name,Email\n{'x' * 200_000},r@client.example\nEve,e@client.example\n")

    assert [one.name for one in told.contacts] == ["Eve"]
    assert [line for line, _ in told.errors] == [2]


def test_formulas_stay_text_and_control_characters_go() -> None:
    told = read('Name,Email\n"=HYPERLINK(""http://x.example"")",r@client.example\n"+1\x00 @\x1b[2J",e@client.example\n')

    assert [one.name for one in told.contacts] == ['=HYPERLINK("http://x.example")', "+1 @ [2J"]


def test_addresses_are_folded_told_apart_once_and_taken_out_of_angle_brackets() -> None:
    (rosa,) = read('Name,Email,Email 2\nRosa,"Client, Rosa <ROSA@Client.example>",rosa@client.example; \n').contacts

    assert rosa.addresses == ("rosa@client.example",)


@pytest.mark.parametrize(
    "cell",
    ["a@x.example b@x.example", "a@x.example;b@x.example", '"a@x.example, b@x.example"', '"a@x.example\nb@x.example"'],
)
def test_a_cell_may_hold_several_addresses(cell: str) -> None:
    told = read(f"Email,Name\n{cell},Rosa\n")

    assert told.contacts == (CsvContact(2, "Rosa", ("a@x.example", "b@x.example")),)
    assert told.errors == ()


def test_a_name_is_optional() -> None:
    assert read("Email\nr@client.example\n").contacts == (CsvContact(2, "", ("r@client.example",)),)


def test_what_is_cut_off_is_said() -> None:
    many = " ::: ".join(f"r{number}@client.example" for number in range(60))

    told = read(f"Name,Email\n{'x' * 401},{many}\n")

    (rosa,) = told.contacts
    assert (len(rosa.name), len(rosa.addresses)) == (400, 50)
    assert [line for line, _ in told.errors] == [2, 2]


@pytest.mark.parametrize(
    "header",
    [
        "E-mail Address",
        "E-mail 2 Address",
        "E-mail 12 - Value",
        "EMAIL",
        "Email:",
        "Alternative Email",
        "Alternate_Email__c",
        "npe01__HomeEmail__c",
        "Contact: Email",
        "Contact Email",
        "Primary Email",
        "emails",
        "Work E-Mail",
        "mail",
    ],
)
def test_a_column_of_addresses_is_known_by_its_name(header: str) -> None:
    assert read(f"Name;{header}\nRosa;r@client.example\n").contacts[0].addresses == ("r@client.example",)


@pytest.mark.parametrize(
    "header",
    [
        "E-mail Type",
        "E-mail Display Name",
        "E-mail 1 - Label",
        "E-mail 1 - Type",
        "Email Opt Out",
        "HasOptedOutOfEmail",
        "EmailBouncedReason",
        "Mailing Street",
        "Mailing City",
        "Assistant's Name",
    ],
)
def test_a_column_beside_the_addresses_is_passed_over(header: str) -> None:
    told = read(f"Email,{header}\nr@client.example,x@else.example\n")

    assert told.contacts == (CsvContact(2, "", ("r@client.example",)),)


@pytest.mark.parametrize(
    "header",
    [
        "Contact First Name,Contact Last Name,Contact Email",
        "Given Name,Surname,Mail",
        "FIRSTNAME,LASTNAME,EMAIL",
        "Contact: First Name,Contact: Last Name,Contact: Email",
    ],
)
def test_a_name_in_parts_is_known_by_the_names_of_its_columns(header: str) -> None:
    assert read(f"{header}\nRosa,Client,r@client.example\n").contacts[0].name == "Rosa Client"


@pytest.mark.parametrize(
    "text", ["", "\n\n", "Name,Phone\nRosa,1\n", '"Email\nr@client.example\n', "Email Opt Out\n1\n"]
)
def test_a_file_without_a_column_of_addresses_is_refused(text: str) -> None:
    with pytest.raises(BadItem, match="name one of its columns Email"):
        read(text)


def test_a_file_of_nothing_but_errors_is_read_to_its_end_and_every_row_is_told() -> None:
    told = read("Name,Email\n" + 'a","b\n' * 5_000 + "Rosa,r@client.example\n")

    assert [one.line for one in told.contacts] == [5_002]
    assert [line for line, _ in told.errors] == list(range(2, 5_002))


def test_a_row_with_a_million_bad_addresses_is_one_complaint() -> None:
    told = read("Name,Email\nRosa,r@client.example;" + "x;" * 60_000 + "\nBen," + "a;" * 60_000 + "\n")

    assert told.contacts == (CsvContact(2, "Rosa", ("r@client.example",)),)
    assert told.errors == (
        (2, "More than 5 texts of the row are not mail addresses."),
        (3, "More than 5 texts of the row are not mail addresses."),
        (3, "The row has no mail address that can be used."),
    )


def test_a_line_far_too_long_is_an_error_and_the_next_is_read() -> None:
    told = read("Name,Email\n" + "x," * 400_000 + "\nRosa,r@client.example\n")

    assert [one.name for one in told.contacts] == ["Rosa"]
    assert [line for line, _ in told.errors] == [2]


def test_blank_lines_within_a_quotation_that_fails_are_counted_and_passed_over() -> None:
    told = read('Name,Email\n"Ben\n\n \n" x"\n\nRosa,r@client.example')

    assert [(one.line, one.name) for one in told.contacts] == [(7, "Rosa")]


def test_rows_are_told_one_by_one_as_the_file_is_read() -> None:
    def lines() -> Iterator[str]:
        yield "Name,Email\n"
        yield from (f"Rosa,r{number}@client.example\n" for number in count())

    assert [told.line for told in islice(rows(lines()), 3_000)] == list(range(2, 3_002))


RUBBISH = {
    "blank lines": lambda: "Email\n" + "\n" * 4_000_000,
    "lines of commas": lambda: "Email,Name\n" + ",\n" * 2_000_000,
    "one line": lambda: "Email,Name\n" + "," * 4_000_000,
    "a header": lambda: "Email," * 600_000,
    "quotation marks that are not closed": lambda: "Email,Name\n" + ('"' + "\n" * 1_998 + '",\n') * 2_000,
    "long cells": lambda: "Email,Name\n" + ('"' + "x" * 130_000 + "\n") * 30,
    "bad addresses": lambda: "Email,Name\n" + ("a;" * 60_000 + ",x\n") * 30,
}


@pytest.mark.parametrize("name", RUBBISH)
def test_megabytes_of_rubbish_are_read_to_their_end_and_little_is_said_of_them(name: str) -> None:
    # A reader that looked at every line again for every row would run into the time that every test has.
    with suppress(BadItem):
        told = list(rows(lines_of(RUBBISH[name]())))
        assert not any(isinstance(one, CsvContact) for one in told)
        assert len(told) <= 4_000


@given(st.lists(st.text(alphabet='ab@.,;"\n\r \t\x00é', max_size=40), max_size=12))
def test_no_text_stops_the_reader_and_every_line_it_names_exists(parts: list[str]) -> None:
    text = "Name,Email\n" + "\n".join(parts)

    told = read(text)

    lines = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    assert all(1 < line <= lines for line, _ in told.errors)
    assert all("@" in address for one in told.contacts for address in one.addresses)


@given(st.lists(st.tuples(st.text(alphabet="Ab ,;\"\n'", max_size=12), st.integers(0, 10**6)), max_size=20))
def test_a_well_formed_file_is_read_whole(people: list[tuple[str, int]]) -> None:
    rows = ['"{}",p{}@x.example'.format(name.replace('"', '""'), number) for name, number in people]

    told = read("\n".join(["Name,Email", *rows]))

    assert told.errors == ()
    assert [one.addresses for one in told.contacts] == [(f"p{number}@x.example",) for _, number in people]
