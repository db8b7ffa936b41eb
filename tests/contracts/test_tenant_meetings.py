"""Meeting mail at the simulated tenant: a calendar part makes a message of a derived type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dev.firm import Attachment
from dev.mailfiles import parse_mail
from tests.contracts.tenant_world import ADA, NOW, World, inbox, inbox_delta, message, open_world

MAIL = b"""From: Cy <cy@client.example>
To: ada@cedar.example
Subject: Review
Message-ID: <1@client.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=x

--x
Content-Type: text/plain

See you
--x
Content-Type: text/calendar; method=%(method)s

BEGIN:VCALENDAR
METHOD:%(method)s
BEGIN:VEVENT
DTSTART:20261123T102500Z
DTEND:20261123T105500Z
ATTENDEE;PARTSTAT=%(answer)s;CN=Ada:mailto:ada@cedar.example
END:VEVENT
END:VCALENDAR
--x--
"""


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


def delivered(world: World, method: bytes, answer: bytes = b"NEEDS-ACTION") -> str:
    return world.ada.deliver(parse_mail(MAIL % {b"method": method, b"answer": answer}, "a.eml", NOW))


@pytest.mark.parametrize(
    ("method", "answer", "kind", "meeting"),
    [
        (b"REQUEST", b"NEEDS-ACTION", "eventMessageRequest", "meetingRequest"),
        (b"CANCEL", b"ACCEPTED", "eventMessage", "meetingCancelled"),
        (b"REPLY", b"ACCEPTED", "eventMessageResponse", "meetingAccepted"),
        (b"REPLY", b"TENTATIVE", "eventMessageResponse", "meetingTenativelyAccepted"),
        (b"REPLY", b"DECLINED", "eventMessageResponse", "meetingDeclined"),
    ],
)
def test_a_calendar_part_makes_a_meeting_message(
    world: World, method: bytes, answer: bytes, kind: str, meeting: str
) -> None:
    mail = delivered(world, method, answer)

    found = world.get(message(mail))

    assert (found["@odata.type"], found["meetingMessageType"]) == (f"#microsoft.graph.{kind}", meeting)
    assert found["startDateTime"] == {"dateTime": "2026-11-23T10:25:00.0000000", "timeZone": "UTC"}
    # Exchange takes the calendar part in.
    assert found["hasAttachments"] is False
    assert world.get(message(mail, "/attachments"))["value"] == []


def test_lists_and_deltas_say_what_is_meeting_mail_whatever_is_selected(world: World) -> None:
    delivered(world, b"REQUEST")
    world.ada.deliver(subject="Plain")

    def kinds(items: list[dict[str, Any]]) -> dict[str, str | None]:
        return {one["subject"]: one.get("@odata.type") for one in items}

    listed = kinds(world.items(inbox("?$select=subject")))
    told = kinds(world.items(inbox_delta("?$select=subject")))

    assert listed == {"Review": "#microsoft.graph.eventMessageRequest", "Plain": None}
    assert told == {"Review": "#microsoft.graph.eventMessageRequest", "Plain": "#microsoft.graph.message"}


def test_a_derived_property_is_selected_with_its_type(world: World) -> None:
    delivered(world, b"REQUEST")
    world.ada.deliver(subject="Plain")

    select = "?$select=subject,microsoft.graph.eventMessage/meetingMessageType"
    found = {one["subject"]: one.get("meetingMessageType") for one in world.items(inbox(select))}

    assert found == {"Review": "meetingRequest", "Plain": None}


def test_a_calendar_that_is_only_a_file_stays_one(world: World) -> None:
    file = Attachment("days.ics", "text/calendar", b"BEGIN:VCALENDAR\r\nMETHOD:PUBLISH\r\nEND:VCALENDAR")
    mail = world.ada.deliver(subject="Holidays", attachments=[file])

    found = world.get(message(mail))

    assert "@odata.type" not in found and found["hasAttachments"] is True


def test_headers_of_automatic_mail_are_shown_one_message_at_a_time(world: World) -> None:
    mail = world.ada.deliver(subject="Away", headers=[("Auto-Submitted", "auto-replied"), ("Precedence", "bulk")])

    found = world.get(message(mail, "?$select=internetMessageHeaders,inferenceClassification,isRead"))

    assert found["internetMessageHeaders"] == [
        {"name": "Auto-Submitted", "value": "auto-replied"},
        {"name": "Precedence", "value": "bulk"},
    ]
    assert (found["inferenceClassification"], found["isRead"]) == ("focused", False)
    assert "internetMessageHeaders" not in world.items(f"/users/{ADA}/messages?$select=internetMessageHeaders")[0]
