"""Attaching files to drafts: small ones at once, large ones in pieces by an upload session."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from dev.firm import Attachment
from dev.tenant import files
from dev.tenant.call import Call, keyed
from dev.tenant.exchange import Answer, Json, Refusal, Request
from dev.tenant.inbound import file_of_json, flag, lowered, parameter
from dev.tenant.lookup import message_of
from dev.tenant.mail import Message, timestamp
from dev.tenant.mailbox import Mailbox
from dev.tenant.writing import check_size

if TYPE_CHECKING:
    from dev.tenant.state import Tenant

AT_ONCE = 3 * 1024 * 1024
MOST = 150 * 1024 * 1024
LIFE = timedelta(days=1)
_PIECE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(slots=True)
class Upload:
    """A session: what is to be attached to which message of which mailbox, and what came so far."""

    user: str
    message: str
    name: str
    content_type: str
    content_id: str
    inline: bool
    size: int
    expires: datetime
    url: str = ""
    came: bytearray = field(default_factory=bytearray)

    def shown(self) -> Json:
        """The session as JSON."""
        left = [f"{len(self.came)}-"] if len(self.came) < self.size else []
        return {"expirationDateTime": timestamp(self.expires), "nextExpectedRanges": left}


def attach(call: Call, user: str, id: str) -> Answer:
    """POST .../messages/{id}/attachments."""
    box = call.mailbox(user)
    message = message_of(box, id)
    check_size(call)
    file = file_of_json(call.json())
    if len(file.content) > AT_ONCE:
        raise Refusal(413, "ErrorMessageSizeExceeded", f"At once a file of at most {AT_ONCE} bytes is attached.")
    _add(box, message, file)
    shown = files.shown_files(call, message, files.PROPERTIES)[-1]
    path = f"{keyed('users', user)}/{keyed('messages', id)}/attachments/$entity"
    return Answer({"@odata.context": call.context(path), **shown}, 201)


def detach(call: Call, user: str, id: str, file: str) -> Answer:
    """DELETE .../attachments/{id}."""
    box = call.mailbox(user)
    message = message_of(box, id)
    gone = files.file_of(call, message, file)
    kept = tuple(one for one in message.mail.attachments if one is not gone)
    box.edit(message.id, replace(message.mail, attachments=kept, raw=b""))
    return Answer(status=204)


def open_session(call: Call, user: str, id: str) -> Answer:
    """POST .../attachments/createUploadSession {"AttachmentItem": {"attachmentType", "name", "size"}}."""
    message = message_of(call.mailbox(user), id)
    item = lowered(parameter(call.json(), "AttachmentItem") or {})
    size = item.get("size")
    if str(item.get("attachmenttype", "")).lower() != "file" or not str(size).isdigit() or not item.get("name"):
        raise Refusal(400, "ErrorInvalidRequest", "AttachmentItem needs attachmentType file, a name and a size.")
    if int(str(size)) < AT_ONCE:
        code = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
        raise Refusal(400, code, f"A file of less than {AT_ONCE} bytes is attached at once.")
    if int(str(size)) > MOST:
        raise Refusal(413, "ErrorAttachmentSizeLimitExceeded", f"A file holds at most {MOST} bytes.")
    name, kind = str(item["name"]), str(item.get("contenttype") or "application/octet-stream")
    shared = {"content_id": str(item.get("contentid") or ""), "inline": flag(item.get("isinline"))}
    expires = call.tenant.now() + LIFE
    upload = Upload(user, call.view().id_of(message), name, kind, size=int(str(size)), expires=expires, **shared)
    token = call.tenant.ids.text(24, "upload", str(call.tenant.numbered()))
    call.tenant.uploads[token] = upload
    parts = urlsplit(call.base)
    host = f"https://{call.tenant.switches.upload_host}" if call.tenant.switches.upload_host else ""
    place = f"{keyed('Users', user)}/{keyed('Messages', id)}/AttachmentSessions('{token}')"
    upload.url = f"{host or f'{parts.scheme}://{parts.netloc}'}/api/gv1.0/{place}"
    url = f"{upload.url}?authtoken={quote(token, safe='')}"
    return Answer({"@odata.context": call.context("uploadSession"), "uploadUrl": url, **upload.shown()}, 201)


def is_upload(request: Request) -> bool:
    """Whether this is a request to an upload URL; such bear no token but the URL's."""
    return "/attachmentsessions(" in urlsplit(request.url).path.lower()


def answer(tenant: Tenant, request: Request) -> Answer:
    """PUT a piece, GET the state or DELETE the session, at the URL that came with it."""
    token = parse_qs(urlsplit(request.url).query).get("authtoken", [""])[0]
    upload = tenant.uploads.get(token)
    if upload is None or tenant.now() >= upload.expires:
        raise Refusal(404, "ErrorItemNotFound", "There is no such upload session, or it has ended.")
    match request.method.upper():
        case "GET":
            return Answer(upload.shown())
        case "DELETE":
            del tenant.uploads[token]
            return Answer(status=204)
        case "PUT":
            return _piece(tenant, token, upload, request)
    raise Refusal(405, "ErrorInvalidRequest", f"An upload session does not take {request.method}.")


def _piece(tenant: Tenant, token: str, upload: Upload, request: Request) -> Answer:
    said = _PIECE.fullmatch(request.header("Content-Range").strip())
    first, last, total = (int(said[1]), int(said[2]), int(said[3])) if said else (-1, -1, -1)
    if total != upload.size or last - first + 1 != len(request.body) or last >= total:
        raise Refusal(400, "ErrorInvalidRequest", "Content-Range, body and the size of the file do not fit together.")
    if first != len(upload.came):
        sentence = f"The piece begins at {first}, the next expected byte is {len(upload.came)}."
        raise Refusal(416, "ErrorInvalidRequest", sentence)
    upload.came += request.body
    if len(upload.came) < upload.size:
        return Answer(upload.shown())
    del tenant.uploads[token]
    account = tenant.find(upload.user)
    if account is None or account.mailbox is None:
        raise Refusal(404, "ErrorInvalidUser", f"No mailbox belongs to {upload.user!r}.")
    message = message_of(account.mailbox, upload.message)
    content = bytes(upload.came)
    file = Attachment(upload.name, upload.content_type, content, upload.content_id, upload.inline)
    _add(account.mailbox, message, file)
    place = upload.url.rpartition("/")[0]
    key = files.keyed_files(tenant.ids, upload.message, message)[-1][0]
    return Answer(status=201, headers={"Location": f"{place}/Attachments('{key}')"})


def _add(box: Mailbox, message: Message, file: Attachment) -> None:
    box.edit(message.id, replace(message.mail, attachments=(*message.mail.attachments, file), raw=b""))
