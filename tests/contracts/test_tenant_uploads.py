"""Attachments at the simulated tenant: of every kind and size, read and written."""

from __future__ import annotations

import hashlib
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator

import pytest

from dev.firm import Attachment
from dev.tenant import Reference, Repeated, Switches
from tests.contracts.tenant_world import ADA, World, message, open_world
from tests.contracts.test_tenant_sending import draft
from tests.contracts.test_tenant_writes import code

LIGHT = "?$select=id,name,contentType,size,isInline"
INNER = b"From: Dee <dee@client.example>\r\nSubject: Inner\r\nDate: Fri, 20 Nov 2026 08:00:00 +0000\r\n\r\nHello inside"


@pytest.fixture(params=["process", "server"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def with_files(world: World) -> tuple[str, list[str]]:
    files = [
        Attachment("plan.pdf", "application/pdf", b"%PDF"),
        Attachment("inner.eml", "message/rfc822", INNER),
        Reference("shared.docx", "application/octet-stream", url="https://files.example/shared"),
        Attachment("logo.png", "image/png", b"PNG", "logo@1", True),
    ]
    mail = world.ada.deliver(subject="Files", attachments=files)
    return mail, [one["id"] for one in world.get(message(mail, "/attachments" + LIGHT))["value"]]


def test_every_kind_of_attachment_says_what_it_is(world: World) -> None:
    mail, _ = with_files(world)

    found = world.get(message(mail, "/attachments"))["value"]

    kinds = [one["@odata.type"].rpartition(".")[2] for one in found]
    assert kinds == ["fileAttachment", "itemAttachment", "referenceAttachment", "fileAttachment"]
    assert ["contentBytes" in one for one in found] == [True, False, False, True]
    assert (found[3]["isInline"], found[3]["contentId"]) == (True, "logo@1")
    assert world.ask("GET", message(mail, "/attachments/$count")).text == "4"


def test_an_enclosed_mail_is_mime_or_a_message(world: World) -> None:
    mail, ids = with_files(world)

    mime = world.ask("GET", message(mail, f"/attachments/{ids[1]}/$value"))

    assert mime.content == INNER
    with open_world(judged=False) as other:
        mail, ids = with_files(other)
        expand = "?$expand=microsoft.graph.itemAttachment/item"
        item = other.get(message(mail, f"/attachments/{ids[1]}{expand}"))["item"]
        assert (item["@odata.type"], item["subject"]) == ("#microsoft.graph.message", "Inner")
        assert item["from"]["emailAddress"]["address"] == "dee@client.example"
        assert "Hello inside" in item["body"]["content"]


def test_a_link_has_no_bytes(world: World) -> None:
    mail, ids = with_files(world)

    assert world.refusal(message(mail, f"/attachments/{ids[2]}/$value")) == (400, "ErrorInvalidRequest")


def test_a_hundred_megabytes_are_made_on_the_way(world: World) -> None:
    size = 100 * 1024 * 1024
    mail = world.ada.deliver(subject="Huge", attachments=[Attachment("huge.bin", "application/zip", Repeated(size))])
    [light] = world.get(message(mail, "/attachments" + LIGHT))["value"]
    seen, digest = 0, hashlib.blake2b()
    tracemalloc.start()

    with world.ask("GET", message(mail, f"/attachments/{light['id']}/$value"), stream=True) as answer:
        for piece in answer.iter_content(1 << 16):
            seen += len(piece)
            digest.update(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (seen, answer.headers["Content-Length"]) == (size, str(size))
    assert light["size"] >= size
    assert digest.hexdigest() == hashlib.blake2b(b"0123456789abcdef" * (size // 16)).hexdigest()
    assert peak < 8 * 1024 * 1024


def test_repeated_bytes_are_bytes_in_every_stretch() -> None:
    made = Repeated(10, b"abc")

    assert (len(made), bytes(made), made[4:8], made[8:99], made[5:5]) == (10, b"abcabcabca", b"bcab", b"ca", b"")
    with pytest.raises(ValueError, match="-1 bytes"):
        Repeated(-1)


def test_a_small_file_is_attached_at_once_and_taken_off_again(world: World) -> None:
    own = draft(world)
    body = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "note.txt",
        "contentType": "text/plain",
        "contentBytes": b64encode(b"noted").decode(),
    }

    made = world.ask("POST", message(own, "/attachments"), json=body)
    before = world.get(message(own))["hasAttachments"]
    gone = world.ask("DELETE", message(own, f"/attachments/{made.json()['id']}"))

    assert (made.status_code, made.json()["name"], before) == (201, "note.txt", True)
    assert gone.status_code == 204
    assert world.get(message(own))["hasAttachments"] is False


def test_a_mail_may_enclose_a_message_given_as_json(world: World) -> None:
    own = draft(world)
    item = {"@odata.type": "#microsoft.graph.message", "subject": "Enclosed"}
    body = {"@odata.type": "#microsoft.graph.itemAttachment", "name": "Enclosed", "item": item}

    made = world.ask("POST", message(own, "/attachments"), json=body).json()

    assert made["@odata.type"] == "#microsoft.graph.itemAttachment"
    assert b"Subject: Enclosed" in world.ask("GET", message(own, f"/attachments/{made['id']}/$value")).content


def session(world: World, own: str, size: int, **more: str) -> str:
    item = {"attachmentType": "file", "name": "large.bin", "size": size, **more}
    answer = world.ask("POST", message(own, "/attachments/createUploadSession"), json={"AttachmentItem": item})
    assert answer.status_code == 201, answer.text
    assert answer.json()["nextExpectedRanges"] == ["0-"]
    return answer.json()["uploadUrl"]


def put(world: World, url: str, content: bytes, first: int, total: int) -> tuple[int, object, str]:
    ranged = {"Content-Range": f"bytes {first}-{first + len(content) - 1}/{total}"}
    answer = world.session.put(url, data=content, headers=ranged, timeout=5)
    said = answer.json() if answer.content else None
    return answer.status_code, said and said.get("nextExpectedRanges"), answer.headers.get("Location", "")


def test_a_large_file_comes_in_pieces_without_a_token(world: World) -> None:
    own, size = draft(world), 4_000_000
    url = session(world, own, size)

    first = put(world, url, b"a" * 3_000_000, 0, size)
    again = put(world, url, b"a" * 10, 0, size)
    last = put(world, url, b"b" * 1_000_000, 3_000_000, size)

    assert first[:2] == (200, ["3000000-"])
    assert again[0] == 416
    assert last[0] == 201 and last[1] is None
    [file] = world.get(message(own, "/attachments" + LIGHT))["value"]
    assert file["name"] == "large.bin" and "Attachments('" in last[2]
    assert put(world, url, b"", 0, size)[0] == 404


def test_a_session_is_for_large_files_and_may_be_given_up(world: World) -> None:
    own = draft(world)
    item = {"attachmentType": "file", "name": "small.bin", "size": 10}
    small = world.ask("POST", message(own, "/attachments/createUploadSession"), json={"AttachmentItem": item})
    url = session(world, own, 4_000_000)

    assert code(small) == (400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
    assert world.session.get(url, timeout=5).json()["nextExpectedRanges"] == ["0-"]
    assert world.session.delete(url, timeout=5).status_code == 204
    assert world.session.get(url, timeout=5).status_code == 404


def test_upload_urls_may_be_on_another_host() -> None:
    with open_world(switches=Switches(upload_host="outlook.office.com")) as world:
        assert session(world, draft(world), 4_000_000).startswith("https://outlook.office.com/api/gv1.0/Users('")


def test_a_file_that_is_too_large_for_once_is_refused() -> None:
    with open_world() as world:
        own = draft(world)
        body = {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": "large.bin",
            "contentBytes": b64encode(b"x" * (3 << 20) + b"xxx").decode(),
        }

        assert code(world.ask("POST", message(own, "/attachments"), json=body)) == (413, "ErrorMessageSizeExceeded")
        assert world.get(f"/users/{ADA}/messages")["value"][0]["hasAttachments"] is False
