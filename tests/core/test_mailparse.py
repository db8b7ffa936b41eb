"""The pieces of a mail as they are met in the wild: charsets, encoded words, addresses, dates."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.mailaddress import parties, usable
from dev.mailparse import FIRST_YEAR, LAST_YEAR, decode, message_id, moment, parameters, words


@pytest.mark.parametrize(
    ("charset", "data", "expected"),
    [
        ("iso-2022-jp", "在庫の件".encode("iso-2022-jp"), "在庫の件"),
        ("", "在庫の件".encode("iso-2022-jp"), "在庫の件"),
        ("us-ascii", "在庫の件".encode("iso-2022-jp"), "在庫の件"),
        ("shift_jis", "在庫の件①".encode("cp932"), "在庫の件①"),
        ("euc-jp", "在庫の件".encode("euc-jp"), "在庫の件"),
        ("ks_c_5601-1987", "한국말 똠".encode("cp949"), "한국말 똠"),
        ("gb2312", "简体 镕".encode("gbk"), "简体 镕"),
        ("big5", "繁體中文".encode("big5"), "繁體中文"),
        ("windows-1251", "Привет".encode("cp1251"), "Привет"),
        ("windows-1252", "“Grüße” – 5 €".encode("cp1252"), "“Grüße” – 5 €"),
        ("iso-8859-1", "“Grüße” – 5 €".encode("cp1252"), "“Grüße” – 5 €"),
        ("iso-8859-1", "Grüße".encode(), "Grüße"),
        ("us-ascii", "Grüße".encode("latin-1"), "Grüße"),
        ("no-such-charset", "Grüße".encode(), "Grüße"),
        ("no-such-charset", "Grüße".encode("latin-1"), "Grüße"),
        ("utf-8", "Grüße".encode("latin-1"), "Grüße"),
        ("utf-8", b"\x81\x8d", "\x81\x8d"),
        ("unicode_escape", rb"C:\data", r"C:\data"),
        ("hex", b"4a4b", "4a4b"),
        ("", b"\xef\xbb\xbfBOM", "BOM"),
    ],
)
def test_a_text_is_decoded_even_when_its_charset_lies(charset: str, data: bytes, expected: str) -> None:
    assert decode(data, charset) == expected


def test_one_broken_character_leaves_the_rest_of_a_japanese_text_readable() -> None:
    data = "在庫の一覧を添付いたします。".encode("cp932") + b"\xff"

    assert decode(data, "shift_jis").startswith("在庫の一覧を添付いたします。")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Re: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= and more", "Re: Grüße and more"),
        ("=?utf-8?B?5Zyo5bqr?= =?utf-8?B?5LiA6Kan?=", "在庫一覧"),
        ("=?utf-8?Q?=E5=9C?= =?utf-8?Q?=A8?=", "在"),
        ("=?iso-8859-1?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?nonsense?B?VEVTVA=?=", "TEST"),
        ("=?utf-8?B?VEVTVA", "=?utf-8?B?VEVTVA"),
        ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        ("=?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=", "テスト"),
        ("=?utf-8*en?Q?ok?=", "ok"),
    ],
)
def test_encoded_words_are_decoded_and_broken_ones_left_alone(text: str, expected: str) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.example", [("", "a@b.example")]),
        ("Ann <a@b.example>, Bob <b@b.example>", [("Ann", "a@b.example"), ("Bob", "b@b.example")]),
        ("Ann <a@b.example> Bob <b@b.example>", [("Ann", "a@b.example"), ("Bob", "b@b.example")]),
        ("a@b.example c@b.example", [("", "a@b.example"), ("", "c@b.example")]),
        ("a@b.example; c@b.example", [("", "a@b.example"), ("", "c@b.example")]),
        ('"Doe, Jane" <j@b.example>', [("Doe, Jane", "j@b.example")]),
        ("=?utf-8?Q?Doe,_Jane?= <j@b.example>", [("Doe, Jane", "j@b.example")]),
        ('"a@b.example" <a@b.example>', [("a@b.example", "a@b.example")]),
        ("j@b.example (Jane)", [("Jane", "j@b.example")]),
        ("<j@b.example> (Jane)", [("Jane", "j@b.example")]),
        ("Team: a@b.example, Bob <b@b.example>;", [("", "a@b.example"), ("Bob", "b@b.example")]),
        ("Undisclosed recipients:;", []),
        ("<@relay.example,@other.example:a@b.example>", [("", "a@b.example")]),
        ('"a@b.example"', [("", "a@b.example")]),
        ('"jane doe"@b.example', [("", '"jane doe"@b.example')]),
        ("jane @ b . example", [("", "jane@b.example")]),
        ("mailto:a@b.example", [("", "a@b.example")]),
        ("Nobody in particular", [("Nobody in particular", "")]),
        ('"Nobody" <>', [("Nobody", "")]),
        ('"open <a@b.example>', [("open", "a@b.example")]),
        ("(open a@b.example", [("", "a@b.example")]),
        ("", []),
        (", ,", []),
    ],
)
def test_addresses_are_found_in_whatever_a_header_holds(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(one.name, one.address) for one in parties(text)] == expected


@pytest.mark.parametrize("address", ["a@b.example", "märy@exämple.net", "o'neil+x@a-b.c.example", "a@b.xn--p1ai"])
def test_these_addresses_can_be_used(address: str) -> None:
    assert usable(address)


@pytest.mark.parametrize(
    "address",
    ["", "a", "a@b", "@b.example", "a@@b.example", "a b@c.example", "a@b..example", "a..b@c.example", "a@-.x"],
)
def test_these_addresses_cannot_be_used(address: str) -> None:
    assert not usable(address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fri, 21 Nov 1997 09:55:06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
        ("21 Nov 97 09:55 GMT", datetime(1997, 11, 21, 9, 55, tzinfo=UTC)),
        ("Fri, 21 Nov 1997 09(a):   55  :  06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
        ("Sat, 31 Dec 2016 23:59:60 +0000", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("Mon, 5 Jan 2026 10:00:00", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        ("Wed, 15 Dec 2010    59:10 -0500", None),
        ("Mon, 31 Feb 2020 10:00:00 +0000", None),
        ("Mon, 01 Jan 9999 10:00:00 +0000", None),
        (f"1 Jan {LAST_YEAR + 1} 10:00:00 +0000", None),
        (f"31 Dec {FIRST_YEAR - 1} 10:00:00 +0000", None),
        ("Thu, 01 Jan 1970 00:00:00 +0000", None),
    ],
)
def test_a_date_is_read_or_is_none(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<1@a.example>", "<1@a.example>"),
        (" <1234   @   local(blah)  .a .example> ", "<1234@local.a.example>"),
        ("1@a.example", "1@a.example"),
        ("", ""),
    ],
)
def test_a_message_id_loses_what_is_not_part_of_it(text: str, expected: str) -> None:
    assert message_id(text) == expected


@given(st.text(max_size=80))
def test_no_header_text_is_too_odd(text: str) -> None:
    for party in parties(text):
        assert party.name or party.address
    parameters(text)
    words(text)
    message_id(text)
    moment(text)


@given(st.binary(max_size=60), st.text(max_size=20))
def test_no_bytes_and_no_charset_are_too_odd(data: bytes, charset: str) -> None:
    text = decode(data, charset)

    assert text.encode("utf-8").decode("utf-8") == text
