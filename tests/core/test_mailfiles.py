"""Mail files as people really have them: what is read of one, and when it is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.firm import Attachment, MailFile, Party
from dev.mailfiles import BadMail, firm_of, parse_mail
from tests.realmail import REAL_MAIL, needs_real_mail

FALLBACK = datetime(2020, 1, 1, tzinfo=UTC)


def parsed(raw: bytes) -> MailFile:
    return parse_mail(raw, "a.eml", FALLBACK)


def a_mail(
    *lines: str, body: str = "Hello", frm: str = "rosa@bakery.example", to: str = "clara@firm.example", date: str = ""
) -> bytes:
    head = [f"From: {frm}", f"To: {to}", *([f"Date: {date}"] if date else []), *lines]
    return "\r\n".join([*head, "", body, ""]).encode()


# --- one mail


def test_a_plain_mail_is_read_as_it_stands() -> None:
    mail = parsed(
        b"From: Rosa Keller <rosa@bakery.example>\r\n"
        b"Sender: desk@bakery.example\r\n"
        b"To: Clara Finch <clara@firm.example>, owen@firm.example\r\n"
        b"Cc: Mina <mina@firm.example>\r\n"
        b"Bcc: hidden@firm.example\r\n"
        b"Reply-To: shop@bakery.example\r\n"
        b"Subject: Second\r\n shop\r\n"
        b"Date: Wed, 13 Aug 2025 07:12:00 +0100\r\n"
        b"Message-ID: <1@bakery.example>\r\n"
        b"\r\n"
        b"Good morning,\r\nRosa\r\n"
    )

    assert mail.author == Party("Rosa Keller", "rosa@bakery.example")
    assert mail.sender == Party("", "desk@bakery.example")
    assert mail.to == (Party("Clara Finch", "clara@firm.example"), Party("", "owen@firm.example"))
    assert mail.cc == (Party("Mina", "mina@firm.example"),)
    assert mail.bcc == (Party("", "hidden@firm.example"),)
    assert mail.reply_to == (Party("", "shop@bakery.example"),)
    assert mail.subject == "Second shop"
    assert mail.sent == mail.received == datetime(2025, 8, 13, 6, 12, tzinfo=UTC)
    assert mail.message_id == "<1@bakery.example>"
    assert (mail.body, mail.html) == ("Good morning,\r\nRosa\r\n", False)
    assert ("Subject", "Second shop") in mail.headers


def test_without_a_sender_header_the_author_is_the_sender() -> None:
    mail = parsed(a_mail())

    assert mail.sender == mail.author == Party("", "rosa@bakery.example")


def test_of_two_alternatives_the_html_is_read() -> None:
    mail = parsed(
        a_mail(
            'Content-Type: multipart/alternative; boundary="b"',
            body="--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
            "--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            "<p>r=C3=ADch</p>\r\n--b--",
        )
    )

    assert (mail.body, mail.html) == ("<p>rích</p>", True)


def test_several_texts_are_joined_in_order() -> None:
    mail = parsed(
        a_mail(
            "Content-Type: multipart/mixed; boundary=b",
            body="--b\r\n\r\nfirst\r\n--b\r\nContent-Type: text/plain\r\n\r\nsecond\r\n--b--",
        )
    )

    assert mail.body == "first\r\nsecond"


def test_a_plain_text_beside_html_becomes_html() -> None:
    mail = parsed(
        a_mail(
            "Content-Type: multipart/mixed; boundary=b",
            body="--b\r\nContent-Type: text/html\r\n\r\n<p>a</p>\r\n--b\r\n\r\nx < y\r\n--b--",
        )
    )

    assert (mail.body, mail.html) == ("<p>a</p>\r\n<div>x &lt; y</div>", True)


def test_an_inline_image_keeps_its_content_id() -> None:
    mail = parsed(
        a_mail(
            "Content-Type: multipart/related; boundary=b",
            body='--b\r\nContent-Type: text/html\r\n\r\n<img src="cid:logo@firm.example">\r\n'
            "--b\r\nContent-Type: image/png\r\nContent-ID: <logo@firm.example>\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--",
        )
    )

    assert mail.attachments == (
        Attachment("ATT00001.png", "image/png", b"\x89PNG\r\n\x1a\n", "logo@firm.example", True),
    )


def test_an_enclosed_mail_is_an_attachment_byte_for_byte() -> None:
    enclosed = "From: a@b.example\r\nSubject: =?utf-8?q?=C3=9Cbersicht?=\r\n\r\ntext"

    mail = parsed(
        a_mail(
            "Content-Type: multipart/mixed; boundary=b",
            body=f"--b\r\n\r\nsee below\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{enclosed}\r\n--b--",
        )
    )

    assert mail.body == "see below"
    assert mail.attachments == (Attachment("Übersicht", "message/rfc822", enclosed.encode()),)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="fees.pdf"', "fees.pdf"),
        ("attachment; filename=two words.pdf", "two words.pdf"),
        ("attachment; filename*=utf-8''%E5%9C%A8%E5%BA%AB.csv", "在庫.csv"),
        ("attachment; filename*0*=utf-8''%E5%9C%A8; filename*1=%BA.csv", "在%BA.csv"),
        ("attachment; filename*1=b.txt; filename*0=a", "ab.txt"),
        ('attachment; filename="=?iso-8859-1?Q?Pr=FCfger=E4t.pdf?="', "Prüfgerät.pdf"),
        (r'attachment; filename="a \"quoted\" name.txt"', 'a "quoted" name.txt'),
        ("attachment", "ATT00001.txt"),
    ],
)
def test_an_attachment_has_the_name_its_sender_gave_it(disposition: str, name: str) -> None:
    mail = parsed(a_mail(f"Content-Disposition: {disposition}", body="data"))

    assert [one.name for one in mail.attachments] == [name]
    assert mail.body == ""


def test_a_file_written_into_the_text_is_an_attachment() -> None:
    mail = parsed(a_mail(body="see this\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\nbye"))

    assert mail.body == "see this\r\nbye\r\n"
    assert [(one.name, one.content) for one in mail.attachments] == [("cat.txt", b"Cat")]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("base64", "SGVsbG8="),
        ("base64;", "SGVsbG8"),
        ("BASE64", "SGVs\r\nbG8=\r\n"),
        ("base64", "SGVsbG8sIHRoaXMgaX*MgYmFzZTY0IHdpdGggb25lIGZvcmVpZ24gY2hhcmFjdGVyLg=="),
        ("quoted-printable ", "Hel=\r\nlo"),
        ("x-uuencode", "begin 644 a\r\n%2&5L;&\\ \r\n`\r\nend"),
        ("7-bit", "Hello"),
        ("", "Hello"),
        ("base64", "Hello, this is no base64 at all: (!)"),
    ],
)
def test_a_transfer_encoding_is_undone_however_it_is_written(encoding: str, content: str) -> None:
    mail = parsed(a_mail(f"Content-Transfer-Encoding: {encoding}", body=content))

    assert mail.body.startswith("Hello")


def test_a_mail_without_a_readable_date_was_received_when_the_caller_says() -> None:
    mail = parsed(a_mail(date="soon"))

    assert (mail.sent, mail.received) == (None, FALLBACK)


def test_headers_go_on_behind_a_line_that_is_none() -> None:
    mail = parsed(b"From: a@b.example\r\nthis is no header\r\nSubject: still here\r\n\r\nbody")

    assert (mail.subject, mail.body) == ("still here", "body")


def test_a_body_may_begin_without_an_empty_line() -> None:
    mail = parsed(b"From: a@b.example\r\nSubject: s\r\nHello there\r\nand bye")

    assert (mail.subject, mail.body) == ("s", "Hello there\r\nand bye")


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_line_ends_do_not_matter(end: bytes) -> None:
    mail = parsed(a_mail("Subject: s", body="one\r\ntwo").replace(b"\r\n", end))

    assert (mail.subject, mail.body) == ("s", "one\r\ntwo\r\n")


def test_eight_bit_headers_are_read_in_utf_8_or_in_the_charset_of_the_text() -> None:
    utf8 = parsed("From: a@b.example\nSubject: Säying\n\n".encode())
    cyrillic = parsed(
        b"From: a@b.example\nContent-Type: text/plain; charset=koi8-r\nSubject: " + "Привет".encode("koi8-r") + b"\n\n"
    )

    assert (utf8.subject, cyrillic.subject) == ("Säying", "Привет")


def test_no_text_holds_nul_or_a_lone_surrogate() -> None:
    high = base64.b64encode("x\ud800y".encode("utf-7", "surrogatepass")).decode()
    mail = parsed(
        b"From: a\x00b <a@b.example>\r\nSubject: s\x00s =?utf-7?B?"
        + high.encode()
        + b"?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nx+2AA-y\x00z"
    )

    assert (mail.subject, mail.body) == ("ss xy", "xyz")
    assert mail.author == Party("ab", "a@b.example")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "The file is empty."),
        (b"\r\n\r\n  ", "The file is empty."),
        (b"Just some words.\nAnd more.\n", "The file is no mail but text without a mail header."),
        (b"Colour: red\n\nShopping list", "The file is no mail but text without a mail header."),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "The file is no mail but binary data."),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 64, "The file is an Outlook .msg file"),
    ],
)
def test_a_file_that_is_no_mail_is_refused_with_its_name_and_a_reason(raw: bytes, why: str) -> None:
    with pytest.raises(BadMail) as refused:
        parse_mail(raw, "inbox/odd.eml", FALLBACK)

    assert refused.value.name == "inbox/odd.eml"
    assert refused.value.sentence.startswith(why)


def test_a_mail_nested_a_thousand_deep_is_still_read() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(1000))

    mail = parsed(b"From: a@b.example\r\nSubject: deep\r\n" + deep.encode() + b"\r\nend")

    assert mail.subject == "deep"


# --- nothing escapes

SEEDS = [
    a_mail("Subject: =?utf-8?Q?=E5=9C?= =?utf-8?B?5Zyo?=", date="Wed, 13 Aug 2025 07:12:00 +0100"),
    a_mail(
        'Content-Type: multipart/mixed; boundary="b"',
        body="--b\r\nContent-Type: text/html; charset=shift_jis\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\ng1SDZw==\r\n"
        "--b\r\nContent-Disposition: attachment; filename*0*=utf-8''%E5%9C; filename*1*=%A8\r\n\r\nx\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext\r\n--b--",
    ),
    a_mail(
        'Cc: "Doe, J" <j@x.example>, Team: a@b.example (one), <@r.example:b@b.example>;',
        body="begin 644 a\r\n#0V%T\r\n`\r\nend",
    ),
    b"From a@b.example Wed Aug 13 07:12:00 2025\n" + a_mail("Content-Type: text/plain; charset=utf-7"),
]
PIECES = st.sampled_from(
    [
        *(bytes([one]) for one in b'\x00\r\n"()<>;:=%\\,@'),
        *(b"\xff\xfe", b"\xed\xa0\x80", b"=?", b"?=", b"*0*=", b"\n\n", b"--b", b"+2AA-", b"\x1b$B"),
        *(b"charset=utf-16", b"charset=punycode", b"Content-Type:", b"base64"),
    ]
)


@st.composite
def damaged_mails(draw: st.DrawFn) -> bytes:
    raw = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        raw = raw[:start] + draw(st.one_of(PIECES, st.binary(max_size=6))) + raw[end:]
    return raw


def texts_of(mail: MailFile) -> list[str]:
    people = [one for one in (mail.author, mail.sender) if one]
    everybody = [*people, *mail.to, *mail.cc, *mail.bcc, *mail.reply_to]
    return [
        mail.subject,
        mail.body,
        mail.message_id,
        *(text for one in everybody for text in (one.name, one.address)),
        *(text for pair in mail.headers for text in pair),
        *(text for one in mail.attachments for text in (one.name, one.content_type, one.content_id)),
    ]


def assert_storable(mail: MailFile) -> None:
    for text in texts_of(mail):
        text.encode("utf-8")
        assert "\x00" not in text
    assert mail.received.tzinfo is not None


@given(st.one_of(damaged_mails(), st.binary(max_size=300)))
def test_whatever_the_bytes_a_mail_is_read_or_refused(raw: bytes) -> None:
    try:
        mail = parsed(raw)
    except BadMail:
        return

    assert_storable(mail)


# --- mail met in the wild


@needs_real_mail
def test_every_real_mail_is_read_and_only_the_empty_file_is_broken() -> None:
    firm = firm_of(REAL_MAIL)

    mails = firm.mailboxes[0].mail
    assert [(one.name, one.why) for one in firm.broken] == [("sample_output_multipart", "The file is empty.")]
    assert len(mails) == sum(1 for file in REAL_MAIL.rglob("*") if file.is_file()) - 1
    for mail in mails:
        assert_storable(mail)
    assert firm == firm_of(REAL_MAIL)


@needs_real_mail
@pytest.mark.parametrize(
    ("name", "subject", "body"),
    [
        ("multi_charset/japanese.eml", "まみむめも", "かきくえこ"),
        ("multi_charset/japanese_iso_2022.eml", "まみむめも", "すみません。"),
        ("multi_charset/japanese_shift_jis.eml", "test", "あいうえお"),
        ("multi_charset/ks_c_5601-1987.eml", "test", "스티해"),
        ("plain_emails/raw_email.eml", "NOTE: 한국말로 하는 것", "대부분의 마찬가지로"),
        ("rfc6532/utf8_headers.eml", "Säying Hello", "body"),
        ("rfc2822/example14.eml", "Re: TEST テストテスト", "Hello"),
        ("error_emails/bad_encoded_subject.eml", "TEST", "TEST"),
        ("plain_emails/raw_email_incorrect_header.eml", "Stop adware/spyware once and for all.", "You are infected"),
    ],
)
def test_real_mail_reads_as_it_was_written(name: str, subject: str, body: str) -> None:
    mail = parse_mail((REAL_MAIL / name).read_bytes(), name, FALLBACK)

    assert mail.subject == subject
    assert mail.body.startswith(body)


@needs_real_mail
@pytest.mark.parametrize(
    ("name", "author", "to"),
    [
        ("rfc2822/example10.eml", "pete@silly.test", ["c@public.example", "joe@example.org", "jdoe@one.test"]),
        ("rfc2822/example13.eml", "jdoe@machine.example", ["mary@example.net"]),
        ("rfc6532/utf8_headers.eml", "jdöe@mächine.example", ["märy@exämple.net"]),
        (
            "plain_emails/raw_email_multiple_from.eml",
            "tim@powerupdev.com",
            ["tim@powerupdev.com", "concierge@powerupdev.com"],
        ),
    ],
)
def test_real_addresses_are_found(name: str, author: str, to: list[str]) -> None:
    mail = parse_mail((REAL_MAIL / name).read_bytes(), name, FALLBACK)

    assert mail.author is not None
    assert mail.author.address == author
    assert [party.address for party in mail.to] == to


@needs_real_mail
@pytest.mark.parametrize(
    ("name", "attachments"),
    [
        ("attachment_emails/attachment_with_quoted_filename.eml", ["Eelanalüüsi päring.jpg"]),
        ("attachment_emails/attachment_nonascii_filename.eml", ["ciële.txt"]),
        ("attachment_emails/attachment_message_rfc822.eml", ["ForwardedMessage.eml"]),
        ("attachment_emails/attachment_content_location.eml", ["Photo25.jpg"]),
        ("multi_charset/japanese_attachment.eml", ["てすと.txt"]),
        ("multi_charset/japanese_attachment_long_name.eml", ["かきくけこ" * 5 + ".txt"]),
    ],
)
def test_real_attachments_keep_their_names(name: str, attachments: list[str]) -> None:
    mail = parse_mail((REAL_MAIL / name).read_bytes(), name, FALLBACK)

    assert [one.name for one in mail.attachments] == attachments
