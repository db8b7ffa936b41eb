"""Sending: a draft, a mail at once, answers and forwards. All answer 202 without a body."""

from __future__ import annotations

import html
from typing import Any

from dev.firm import MailFile, Party
from dev.tenant.call import Call
from dev.tenant.compose import composed
from dev.tenant.exchange import Answer, Json, Refusal
from dev.tenant.inbound import flag, message_of_json, parameter, recipients
from dev.tenant.lookup import message_of
from dev.tenant.mail import Message
from dev.tenant.writing import answered, check_size, composed_mail, fresh_message_id

ACCEPTED = Answer(status=202)


def send(call: Call, user: str, id: str) -> Answer:
    """POST .../messages/{id}/send: the draft goes to Sent Items and to whom it names."""
    message = message_of(call.mailbox(user), id)
    if not message.draft:
        raise Refusal(400, "ErrorInvalidRequest", "Only a draft can be sent, and this message is none.")
    call.tenant.transport.accept(call.account(user), message.mail, draft=message.id)
    return ACCEPTED


def send_mail(call: Call, user: str) -> Answer:
    """POST /users/{id}/sendMail {"message", "saveToSentItems"}, or MIME in base64."""
    call.mailbox(user)
    if "text/plain" in call.request.header("Content-Type").lower():
        mail, _ = composed_mail(call, user)
        call.tenant.transport.accept(call.account(user), mail)
        return ACCEPTED
    check_size(call)
    body = call.json()
    message = parameter(body, "message")
    if message is None:
        raise Refusal(400, "ErrorInvalidRequest", "The request names no message.")
    mail, written = composed_mail(call, user, message)
    save = parameter(body, "saveToSentItems")
    call.tenant.transport.accept(call.account(user), mail, save=save is None or flag(save), extra=written.extra)
    return ACCEPTED


def create_reply(call: Call, user: str, id: str) -> Answer:
    """POST .../createReply."""
    return _drafted(call, user, id, "reply")


def create_reply_all(call: Call, user: str, id: str) -> Answer:
    """POST .../createReplyAll."""
    return _drafted(call, user, id, "replyAll")


def create_forward(call: Call, user: str, id: str) -> Answer:
    """POST .../createForward."""
    return _drafted(call, user, id, "forward")


def reply(call: Call, user: str, id: str) -> Answer:
    """POST .../reply: made and sent at once."""
    return _at_once(call, user, id, "reply")


def reply_all(call: Call, user: str, id: str) -> Answer:
    """POST .../replyAll."""
    return _at_once(call, user, id, "replyAll")


def forward(call: Call, user: str, id: str) -> Answer:
    """POST .../forward."""
    return _at_once(call, user, id, "forward")


def _drafted(call: Call, user: str, id: str, kind: str) -> Answer:
    box = call.mailbox(user)
    # The comment is missing from the draft that comes back: a known issue of the real service.
    mail, extra = _answer_to(call, user, message_of(box, id), kind, comment="")
    made = box.place(mail, "drafts", draft=True, read=True, extra=extra)
    return answered(call, user, box.message(made), 201)


def _at_once(call: Call, user: str, id: str, kind: str) -> Answer:
    comment = parameter(call.json(), "comment") or ""
    mail, extra = _answer_to(call, user, message_of(call.mailbox(user), id), kind, str(comment))
    call.tenant.transport.accept(call.account(user), mail, extra=extra)
    return ACCEPTED


def _answer_to(call: Call, user: str, message: Message, kind: str, comment: str) -> tuple[MailFile, Json]:
    check_size(call)
    body, was = call.json(), message.mail
    written = message_of_json(parameter(body, "message") or {})
    fields: dict[str, Any] = {
        "subject": _subject(was.subject, "FW: " if kind == "forward" else "RE: "),
        "body": _quoted(was, comment),
        "html": True,
        "to": (),
        "attachments": was.attachments if kind == "forward" else (),
    }
    if kind != "forward":
        fields["to"] = was.reply_to or ((was.author,) if was.author else ())
    if kind == "replyAll":
        own = call.account(user).addresses
        fields["to"] = (*fields["to"], *(one for one in was.to if one.address.lower() not in own))
        fields["cc"] = tuple(one for one in was.cc if one.address.lower() not in own)
    if named := recipients(parameter(body, "toRecipients"), "toRecipients"):
        fields["to"] = named
    now = call.tenant.now()
    fields = {**fields, "author": None, "message_id": fresh_message_id(call, user), **written.mail}
    made = composed(received=now, sent=now, headers=(*_thread(was), *written.headers), **fields)
    return made, written.extra


def _thread(was: MailFile) -> tuple[tuple[str, str], ...]:
    said = {name.lower(): value for name, value in was.headers}
    if not was.message_id:
        return ()
    before = said.get("references", "")
    return (("In-Reply-To", was.message_id), ("References", f"{before} {was.message_id}".strip()))


def _subject(subject: str, mark: str) -> str:
    return subject if subject.lower().startswith(mark.lower()) else mark + subject


def _quoted(was: MailFile, comment: str) -> str:
    inner = was.body if was.html else f"<pre>{html.escape(was.body)}</pre>"
    author = html.escape(_named(was.author)) if was.author else ""
    head = f"<div>{html.escape(comment)}</div>" if comment else ""
    was_from = f"<div><b>From:</b> {author}<br><b>Subject:</b> {html.escape(was.subject)}</div>"
    return f"<html><head></head><body>{head}<hr>{was_from}{inner}</body></html>"


def _named(one: Party) -> str:
    return f"{one.name} <{one.address}>" if one.name else one.address
