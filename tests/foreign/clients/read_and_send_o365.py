"""python-o365 reads and sends; prints what it saw as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from O365 import Account, FileSystemTokenBackend

LARGE = 3_500_000


def main() -> None:
    """Sign in as an app, read the inbox page by page, take the attachments, send one mail with a large file."""
    account = Account(
        (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]),
        auth_flow_type="credentials",
        tenant_id=os.environ["TENANT_ID"],
        token_backend=FileSystemTokenBackend(token_path=os.environ["HOME"], token_filename="token.txt"),
        main_resource=os.environ["MAILBOX"],
    )
    assert account.authenticate()
    inbox = account.mailbox().inbox_folder()
    messages = list(inbox.get_messages(limit=None, batch=10))
    newest = inbox.get_message(messages[0].object_id, download_attachments=True)
    first = inbox.get_messages(limit=1, query="subject eq 'Mail 3'")
    drafted, sent = send_large(account)
    messages[0].mark_as_read()
    reply = messages[1].reply(to_all=False)
    reply.body = "Thanks"
    replied = reply.send()
    archived = messages[2].move("archive")
    deleted = messages[3].delete()
    seen = {
        "subjects": [one.subject for one in messages],
        "files": [[one.name, one.size] for one in newest.attachments],
        "found": [one.subject for one in first],
        "body": newest.body,
        "drafted": bool(drafted),
        "sent": bool(sent),
        "replied": bool(replied),
        "archived": bool(archived),
        "deleted": bool(deleted),
        "folders": [one.name for one in account.mailbox().get_folders(limit=20)],
    }
    sys.stdout.write(json.dumps(seen) + "\n")


def send_large(account: Account) -> tuple[bool, bool]:
    """Draft a mail, attach a file in pieces, send it."""
    large = Path(os.environ["HOME"]) / "large.bin"
    large.write_bytes(b"x" * LARGE)
    mail = account.new_message()
    mail.to.add("bob@cedar.example")
    mail.bcc.add("secret@client.example")
    mail.subject = "From python-o365"
    mail.body = "<b>Hello</b>"
    drafted = mail.save_draft()
    mail.attachments.add(str(large))
    return drafted and mail.save_draft(), mail.send()


if __name__ == "__main__":
    main()
