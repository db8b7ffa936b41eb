"""Changing messages: drafts, properties, moves, copies, removal."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

from dev.firm import MailFile, Party
from dev.mailfiles import BadMail, parse_mail
from dev.tenant.call import Call
from dev.tenant.compose import composed
from dev.tenant.exchange import Answer, Refusal
from dev.tenant.inbound import Written, message_of_json, parameter
from dev.tenant.lookup import folder_of, message_of
from dev.tenant.mail import DEFAULT_PROPERTIES, Message, recipient
from dev.tenant.messages import entity_context, show

MOST_BYTES = 4 * 1024 * 1024
_LATER = frozenset(("body", "html", "to", "cc", "bcc", "reply_to", "author", "sender", "message_id", "subject"))


def create(call: Call, user: str) -> Answer:
    """POST /users/{id}/messages: a draft, from JSON or from MIME in base64."""
    return create_in(call, user, "drafts")


def create_in(call: Call, user: str, place: str) -> Answer:
    """POST /users/{id}/mailFolders/{id}/messages: a draft in that folder."""
    box = call.mailbox(user)
    folder = folder_of(box, place)
    mail, written = composed_mail(call, user)
    made = box.place(mail, folder.id, draft=True, read=True, extra=written.extra, extended=written.extended)
    return answered(call, user, box.message(made), 201)


def change(call: Call, user: str, id: str) -> Answer:
    """PATCH /users/{id}/messages/{id}: of what was sent or received only what its owner may mark."""
    box = call.mailbox(user)
    message = message_of(box, id)
    check_match(call, message)
    check_size(call)
    written = message_of_json(call.json())
    # Clients are seen to send what they did not change along with what they did.
    fixed = [name for name in _LATER & set(written.mail) if not _same(written.mail[name], getattr(message.mail, name))]
    if fixed and not message.draft:
        sentence = f"Only a draft can be given another {', '.join(sorted(fixed))}."
        raise Refusal(400, "ErrorInvalidRequest", sentence)
    if written.headers:
        raise Refusal(400, "ErrorInvalidRequest", "Headers are given when a message is made, and not later.")
    written.mail.pop("attachments", None)
    mail = replace(message.mail, raw=b"", **written.mail) if written.mail else None
    box.edit(message.id, mail, read=written.read, extra=written.extra, extended=written.extended)
    return answered(call, user, message, 200)


def remove(call: Call, user: str, id: str) -> Answer:
    """DELETE /users/{id}/messages/{id}: to Deleted Items, and from there for good."""
    box = call.mailbox(user)
    message = message_of(box, id)
    check_match(call, message)
    if message.folder == box.known["deleteditems"]:
        box.purge(message.id)
    else:
        box.delete(message.id)
    return Answer(status=204)


def purge(call: Call, user: str, id: str) -> Answer:
    """POST .../messages/{id}/permanentDelete."""
    box = call.mailbox(user)
    box.purge(message_of(box, id).id)
    return Answer(status=204)


def move(call: Call, user: str, id: str) -> Answer:
    """POST .../messages/{id}/move {"destinationId"}."""
    box = call.mailbox(user)
    message = message_of(box, id)
    box.move(message.id, _destination(call, user))
    return answered(call, user, message, 201)


def copy(call: Call, user: str, id: str) -> Answer:
    """POST .../messages/{id}/copy {"destinationId"}."""
    box = call.mailbox(user)
    made = box.copy(message_of(box, id).id, _destination(call, user))
    return answered(call, user, box.message(made), 201)


# -- shared with what sends


def composed_mail(call: Call, user: str, body: object = None) -> tuple[MailFile, Written]:
    """A new mail from a message resource (or the whole body), with a Message-ID and the present time."""
    check_size(call)
    if body is None and "text/plain" in call.request.header("Content-Type").lower():
        return _from_mime(call, user), Written()
    written = message_of_json(call.json() if body is None else body)
    now = call.tenant.now()
    fields = {"author": None, "message_id": fresh_message_id(call, user), "html": False, **written.mail}
    return composed(received=now, sent=now, headers=written.headers, **fields), written


def fresh_message_id(call: Call, user: str) -> str:
    """A Message-ID as the service makes them up."""
    domain = call.account(user).address.rpartition("@")[2]
    return f"<{call.tenant.ids.hex(16, 'message-id', str(call.tenant.numbered()))}@{domain}>"


def check_size(call: Call) -> None:
    """Refuse what is more than 4 MB."""
    if len(call.request.body) > MOST_BYTES:
        raise Refusal(413, "ErrorMessageSizeExceeded", f"A request holds at most {MOST_BYTES} bytes.")


def check_match(call: Call, message: Message) -> None:
    """Refuse a change of another version than the client saw, if it says which."""
    wanted = call.request.header("If-Match").strip()
    current = ("", "*", f'W/"{message.change_key}"', f'"{message.change_key}"')
    if not call.tenant.switches.ignore_if_match and wanted not in current:
        raise Refusal(412, "ErrorIrresolvableConflict", "The message has another change key than the request names.")


def answered(call: Call, user: str, message: Message, status: int) -> Answer:
    """A message as the answer to its change."""
    shown = show(call, call.mailbox(user), message, DEFAULT_PROPERTIES, call.view())
    return Answer({"@odata.context": entity_context(call, user), **shown}, status)


def _same(new: Any, old: Any) -> bool:
    """Whether a client wrote what it was shown: a recipient without a name is shown with his address as name."""
    if isinstance(new, tuple):
        return len(new) == len(old) and all(map(_same, new, old))
    both = isinstance(new, Party) and isinstance(old, Party)
    return recipient(new) == recipient(old) if both else new == old


def _destination(call: Call, user: str) -> str:
    named = parameter(call.json(), "destinationId")
    if not isinstance(named, str) or not named:
        raise Refusal(400, "ErrorInvalidRequest", "The request names no destinationId.")
    return folder_of(call.mailbox(user), named).id


def _from_mime(call: Call, user: str) -> MailFile:
    try:
        raw = b64decode(call.request.body.strip(), validate=True)
        mail = parse_mail(raw, call.tenant.ids.hex(8, raw), call.tenant.now())
    except (ValueError, BadMail) as wrong:
        sentence = wrong.sentence if isinstance(wrong, BadMail) else "The MIME content is not base64."
        raise Refusal(400, "ErrorMimeContentInvalidBase64String", sentence) from None
    return mail if mail.message_id else replace(mail, message_id=fresh_message_id(call, user))
