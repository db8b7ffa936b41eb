"""Office365-REST-Python-Client reads and sends; prints what it saw as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from io import BytesIO

from office365.graph_client import GraphClient


def main() -> None:
    """Sign in as an app, read the inbox page by page and by delta, take an attachment, send twice, change, move."""
    client = GraphClient(tenant=os.environ["TENANT_ID"])
    client.with_client_secret(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
    user = client.users[os.environ["MAILBOX"]]
    inbox = user.mail_folders["inbox"]
    messages = inbox.messages.get_all(page_size=10).execute_query()
    subjects = [one.subject for one in messages]
    changes = inbox.messages.delta.select(["subject"]).get().execute_query()
    files = messages[0].attachments.get().execute_query()
    content = BytesIO()
    files[0].download(content).execute_query()
    found = user.messages.search('"participants:cy@client.example subject:\\"Mail 3\\""').get().execute_query()
    user.send_mail(
        "From the REST client",
        "Hello",
        ["bob@cedar.example"],
        bcc_recipients=["secret@client.example"],
        save_to_sent_items=True,
    ).execute_query()
    draft = user.messages.add("A draft", "Hello again", ["bob@cedar.example"])
    draft.add_file_attachment("note.txt", "noted").execute_query()
    draft.send().execute_query()
    messages[1].set_property("isRead", True).update().execute_query()
    moved = messages[2].move("archive").execute_query()
    messages[3].delete_object().execute_query()
    seen = {
        "subjects": subjects,
        "changes": [one.subject for one in changes],
        "files": [one.name for one in files],
        "content": content.getvalue().decode(),
        "found": [one.subject for one in found],
        "moved": moved.subject,
    }
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
