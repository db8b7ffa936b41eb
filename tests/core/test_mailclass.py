"""What sort of mail a message is, by its headers."""

from __future__ import annotations

import time
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.mailclass import CLASSES, classify
from tests.realmail import REAL_MAIL, needs_real_mail

REPORT = "multipart/report; report-type={}; boundary=x"
NEWSLETTER = [
    ("List-ID", "Spring news <17.list-id.example>"),
    ("List-Unsubscribe", "<mailto:u@x.example>, <https://x.example/u>"),
    ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ("Feedback-ID", "17:campaign:x"),
    ("X-Auto-Response-Suppress", "All"),
]
DISCUSSION = [
    ("List-Id", "<talk.x.example>"),
    ("List-Post", "<mailto:talk@x.example>"),
    ("List-Unsubscribe", "<mailto:talk-leave@x.example>"),
    ("In-Reply-To", "<1@x.example>"),
]


@pytest.mark.parametrize(
    ("headers", "name", "reason"),
    [
        ([], "personal", "no such sign"),
        ([("Content-Type", 'multipart/alternative; boundary="x"')], "personal", "no such sign"),
        ([("Auto-Submitted", "no"), ("Precedence", "first-class")], "personal", "no such sign"),
        ([("Auto-Submitted", " NO (a person wrote it)")], "personal", "no such sign"),
        ([("Auto-Submitted", "")], "personal", "no such sign"),
        ([("Return-Path", "<rosa@client.example>")], "personal", "no such sign"),
        ([("X-Auto-Response-Suppress", "None")], "personal", "no such sign"),
        ([("Content-Type", "text/calendar; charset=utf-8")], "personal", "no such sign"),
        ([("List-Post", "NO (posting not allowed)")], "personal", "no such sign"),
        ([("X-Autoreply", "no")], "personal", "no such sign"),
        ([("Auto-Submitted", "auto-replied; owner-email=rosa@client.example")], "automated", "Auto-Submitted"),
        ([("AUTO-SUBMITTED ", "Auto-Generated (rfc3834)")], "automated", "Auto-Submitted"),
        ([("Auto-Submitted", "no"), ("Auto-Submitted", "auto-generated")], "automated", "Auto-Submitted"),
        ([("X-Autorespond", "yes")], "automated", "the header of an automatic answer"),
        ([("Precedence", "auto_reply")], "automated", "Precedence"),
        ([("Precedence", "Junk")], "automated", "Precedence"),
        ([("Return-Path", " < > ")], "automated", "an empty Return-Path"),
        ([("Content-Type", REPORT.format("disposition-notification"))], "automated", "a receipt by its Content-Type"),
        ([("Content-Type", REPORT.format('"feedback-report"'))], "automated", "a report by its Content-Type"),
        ([("X-Auto-Response-Suppress", "DR, OOF, AutoReply")], "automated", "X-Auto-Response-Suppress"),
        ([("Feedback-ID", "1:2:3:x")], "automated", "Feedback-ID"),
        (DISCUSSION, "list", "List-Post"),
        ([("Precedence", "list")], "list", "Precedence"),
        ([("X-BeenThere", "talk@x.example")], "list", "X-BeenThere"),
        ([("Mailing-List", "list talk@x.example")], "list", "Mailing-List"),
        ([("List-Id", "<talk.x.example>")], "list", "List-Id"),
        (NEWSLETTER, "newsletter", "List-Unsubscribe"),
        ([*NEWSLETTER, ("In-Reply-To", "<1@x.example>")], "newsletter", "List-Unsubscribe"),
        ([("Precedence", "bulk")], "newsletter", "Precedence"),
        ([("List-Unsubscribe", "<https://x.example/u>")], "newsletter", "List-Unsubscribe"),
        ([("Content-Type", "text/calendar; METHOD=REQUEST; charset=utf-8")], "meeting", "text/calendar with a METHOD"),
        ([("Content-Type", 'TEXT/Calendar;\r\n\tmethod="REPLY"')], "meeting", "text/calendar with a METHOD"),
        ([("Content-Class", "urn:content-classes:calendarmessage")], "meeting", "Content-Class"),
        ([("Content-Type", REPORT.format("delivery-status"))], "bounce", "a delivery report by its Content-Type"),
        (
            [("Content-Type", 'Multipart/Report;\n Report-Type = "Delivery-Status"')],
            "bounce",
            "a delivery report by its Content-Type",
        ),
        ([("Content-Type", "multipart/report")], "bounce", "a delivery report by its Content-Type"),
        ([("X-Failed-Recipients", "rosa@client.example")], "bounce", "X-Failed-Recipients"),
        ([("X-MS-Exchange-Message-Is-Ndr", "true")], "bounce", "X-MS-Exchange-Message-Is-Ndr"),
    ],
)
def test_headers_tell_the_class_and_its_reason(headers: list[tuple[str, str]], name: str, reason: str) -> None:
    told = classify(headers)

    assert (told.name, told.reason) == (name, reason)


@pytest.mark.parametrize(
    "odata_type",
    [
        "#microsoft.graph.eventMessage",
        "#microsoft.graph.eventMessageRequest",
        "#microsoft.graph.eventMessageResponse",
        "#Microsoft.Graph.EventMessage",
    ],
)
def test_graph_says_what_is_meeting_mail(odata_type: str) -> None:
    assert classify([("Auto-Submitted", "auto-generated")], odata_type).name == "meeting"
    assert classify([], "#microsoft.graph.message").name == "personal"


@pytest.mark.parametrize(
    ("author", "headers", "name"),
    [
        ("rosa@client.example", [], "personal"),
        ("MAILER-DAEMON@client.example", [], "bounce"),
        ("postmaster@client.example", [], "personal"),
        ("postmaster@client.example", [("Return-Path", "<>")], "bounce"),
        ("no-reply@client.example", [], "automated"),
        ("DoNotReply+17@client.example", [], "automated"),
        ("noreply2@client.example", [], "automated"),
        ("noreplyson@client.example", [], "personal"),
        ("rosa@no-reply.example", [], "personal"),
        ("", [], "personal"),
    ],
)
def test_the_address_a_mail_is_from_counts_too(author: str, headers: list[tuple[str, str]], name: str) -> None:
    assert classify(headers, author=author).name == name


def test_an_answer_is_personal_though_it_left_through_a_program_for_many_mails() -> None:
    signs = [
        ("Feedback-ID", "1:2:3:x"),
        ("X-Auto-Response-Suppress", "OOF"),
        ("List-Unsubscribe", "<https://x.example>"),
    ]

    assert classify([*signs, ("In-Reply-To", "<1@firm.example>")], author="no-reply@x.example").name == "personal"
    assert (
        classify([*signs, ("In-Reply-To", "<1@firm.example>"), ("Auto-Submitted", "auto-replied")]).name == "automated"
    )


def test_the_stronger_sign_decides() -> None:
    automated, meeting = ("Auto-Submitted", "auto-generated"), ("Content-Class", "urn:content-classes:calendarmessage")
    bounce = ("X-Failed-Recipients", "rosa@client.example")

    assert classify([*DISCUSSION, automated]).name == "automated"
    assert classify([*NEWSLETTER, automated, meeting]).name == "meeting"
    assert classify([automated, meeting, bounce]).name == "bounce"


def test_a_reason_repeats_nothing_a_mail_says() -> None:
    told = classify(
        [("Auto-Submitted", "secret-word"), ("X-Failed-Recipients", "secret-word")], author="secret-word@x.example"
    )

    assert "secret" not in told.reason


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=60)), max_size=10), st.text(), st.text())
def test_no_header_stops_it(headers: list[tuple[str, str]], odata_type: str, author: str) -> None:
    assert classify(headers, odata_type, author).name in CLASSES


_NAMES = ("Auto-Submitted", "Content-Type", "Precedence", "Return-Path", "List-Post", "X-Auto-Response-Suppress")


@given(st.lists(st.tuples(st.sampled_from(_NAMES), st.text(alphabet='a-/;="()<> \r\n\tno', max_size=40)), max_size=10))
def test_no_value_of_a_header_it_reads_stops_it(headers: list[tuple[str, str]]) -> None:
    assert classify(headers).name in CLASSES


@pytest.mark.parametrize("piece", ["(", ";a=", "; " + " " * 50, ";" + "a" * 50, '="', ";a" + " " * 60])
def test_headers_without_end_cost_little(piece: str) -> None:
    headers = [(name, piece * 20_000) for name in (*_NAMES, "x" * 65_536) for _ in range(50)]
    start = time.perf_counter()

    classify(headers, author=piece * 20_000)

    assert time.perf_counter() - start < 0.5


@needs_real_mail
def test_real_reports_are_bounces_or_receipts_and_real_mail_of_people_is_personal() -> None:
    def classes(folder: Path) -> list[str]:
        found = []
        for path in sorted(folder.glob("*.eml")):
            mail = message_from_bytes(path.read_bytes(), policy=compat32)
            found.append(classify([(name, str(value)) for name, value in mail.items()], author=str(mail["From"])).name)
        return found

    assert set(classes(REAL_MAIL / "multipart_report_emails")) <= {"bounce", "automated"}
    assert "personal" in classes(REAL_MAIL / "plain_emails")
