"""Meeting mail: what a text/calendar part makes of a message.

Exchange takes the calendar part in and shows its contents as properties of a derived type, not as an attachment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from dev.firm import Attachment, MailFile

MEETING_PROPERTIES = (
    *("meetingMessageType", "startDateTime", "endDateTime", "isAllDay", "isOutOfDate", "isDelegated", "type"),
    *("meetingRequestType", "responseRequested", "allowNewTimeProposals", "responseType"),
)
_LINE = re.compile(
    rb"^(METHOD|DTSTART|DTEND|ATTENDEE)([;:][^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.MULTILINE | re.IGNORECASE
)
_ANSWERS = {
    # The middle one is spelled so by Microsoft.
    "ACCEPTED": ("meetingAccepted", "accepted"),
    "TENTATIVE": ("meetingTenativelyAccepted", "tentativelyAccepted"),
    "DECLINED": ("meetingDeclined", "declined"),
}


def files_of(mail: MailFile) -> tuple[Attachment, ...]:
    """The attachments that a reader of the mailbox sees."""
    calendar = _calendar(mail)
    return tuple(one for one in mail.attachments if one is not calendar) if calendar else mail.attachments


def meeting_of(mail: MailFile) -> dict[str, Any]:
    """The properties of a meeting message with its @odata.type; empty for any other mail."""
    calendar = _calendar(mail)
    if calendar is None:
        return {}
    lines = _lines(calendar)
    common: dict[str, Any] = {
        "startDateTime": _time(lines.get("DTSTART", "")),
        "endDateTime": _time(lines.get("DTEND", "")),
        "isAllDay": "VALUE=DATE:" in lines.get("DTSTART", "").upper(),
        "isOutOfDate": False,
        "isDelegated": False,
        "type": "singleInstance",
    }
    match _method(calendar):
        case "REQUEST":
            more = {"meetingMessageType": "meetingRequest", "meetingRequestType": "newMeetingRequest"}
            asks = {"responseRequested": True, "allowNewTimeProposals": True}
            return {"@odata.type": "#microsoft.graph.eventMessageRequest", **more, **common, **asks}
        case "REPLY":
            found = re.search(r"PARTSTAT=([\w-]+)", lines.get("ATTENDEE", ""), re.IGNORECASE)
            kind, answer = _ANSWERS.get(found[1].upper() if found else "", ("none", "none"))
            more = {"meetingMessageType": kind, "responseType": answer}
            return {"@odata.type": "#microsoft.graph.eventMessageResponse", **more, **common}
    return {"@odata.type": "#microsoft.graph.eventMessage", "meetingMessageType": "meetingCancelled", **common}


def _calendar(mail: MailFile) -> Attachment | None:
    for one in mail.attachments:
        if one.content_type.lower().startswith("text/calendar") and _method(one) in ("REQUEST", "REPLY", "CANCEL"):
            return one
    return None


def _method(calendar: Attachment) -> str:
    return _lines(calendar).get("METHOD", "").lstrip(":").strip().upper()


def _lines(calendar: Attachment) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, rest in _LINE.findall(calendar.content[:65536]):
        text = re.sub(rb"\r?\n[ \t]", b"", rest).decode("utf-8", "replace")
        # A time zone's own DTSTART stands before the event's: the last one counts.
        found[name.decode().upper()] = text
    return found


def _time(line: str) -> dict[str, str] | None:
    """A dateTimeTimeZone in UTC; a local time is taken as one, for this tenant knows no zones."""
    text = line.rpartition(":")[2].strip().rstrip("Zz")
    for form in ("%Y%m%dT%H%M%S", "%Y%m%d"):
        try:
            when = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return {"dateTime": f"{when:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
    return None
