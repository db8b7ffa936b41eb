"""A tenant behind a TLS door for clients that others wrote, each run unchanged as a program of its own.

The client is told of the door by HTTPS_PROXY and of the authority by the variables its own library reads.
"""

from __future__ import annotations

import importlib.util
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.firm import Attachment
from dev.tenant import Mailbox, Server, Switches, Tenant
from dev.tenant.tls import serve_tls
from tests.contracts.tenant_world import ADA, BOB, DAY, NOW, Clock
from tests.oracle import check

HERE = Path(__file__).resolve().parent
NODE_MODULES = Path(os.environ.get("FOREIGN_NODE_MODULES") or HERE.parents[1] / "dev" / "node_modules")
HOSTS = ("graph.microsoft.com", "login.microsoftonline.com", "outlook.office.com", "127.0.0.1", "localhost")
LARGE = 3_500_000


@dataclass(slots=True)
class Foreign:
    """A tenant with mail, the door to it and the file with the authority that signed the door's certificate."""

    tenant: Tenant
    server: Server
    authority: Path

    @property
    def ada(self) -> Mailbox:
        return self.tenant.user(ADA)

    @property
    def bob(self) -> Mailbox:
        return self.tenant.user(BOB)

    def run(self, *command: str, **more: str) -> dict[str, Any]:
        """Run a client, which says in JSON what it saw; whatever else it says is shown when it fails."""
        door = f"http://127.0.0.1:{self.server.port}"
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        given = {
            "HTTPS_PROXY": door,
            "REQUESTS_CA_BUNDLE": str(self.authority),
            "SSL_CERT_FILE": str(self.authority),
            "NODE_EXTRA_CA_CERTS": str(self.authority),
            "HOME": str(self.authority.parent),
            "TENANT_ID": self.tenant.tenant_id,
            "CLIENT_ID": self.tenant.client_id,
            "CLIENT_SECRET": self.tenant.client_secret,
            "MAILBOX": ADA,
            "PORT": str(self.server.port),
        }
        done = subprocess.run(
            command,
            env={**kept, **given, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.authority.parent,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def python(self, client: str) -> dict[str, Any]:
        """Run one of the clients in Python."""
        return self.run(sys.executable, str(HERE / "clients" / client))


def needs(package: str, module: str) -> None:
    """Skip where a foreign client is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{package} is not installed; requirements/dev.txt names it.")


@contextmanager
def open_foreign(folder: Path, switches: Switches | None = None, mails: int = 25) -> Iterator[Foreign]:
    """Ada's inbox holds `mails` mails a minute apart, the newest with files. At the end all exchanges are judged."""
    needs("trustme", "trustme")
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(context)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    tenant = Tenant(DAY, Clock(), switches or Switches())
    tenant.add_user(ADA, "Ada Lovell")
    tenant.add_user(BOB, "Bob Finch")
    fill_inbox(tenant.user(ADA), mails)
    tenant.recording = True
    server = serve_tls(tenant, context)
    try:
        yield Foreign(tenant, server, folder / "authority.pem")
    finally:
        server.stop()
    # Requests are the client's own; only what the tenant answered is judged.
    found = [line for line in check(tenant.exchanges) if " -> " in line]
    assert not found, "\n".join(found)


def fill_inbox(box: Mailbox, mails: int) -> None:
    """The same mails for every client."""
    for at in range(mails):
        last = at == mails - 1
        files = [
            Attachment("plan.pdf", "application/pdf", b"%PDF"),
            Attachment("logo.png", "image/png", b"PNG", "logo@1", True),
        ]
        box.deliver(
            subject=f"Mail {at}",
            author="Cy <cy@client.example>",
            to=[ADA],
            body=f"<p>Body {at}</p>",
            received=NOW - timedelta(minutes=mails - at),
            attachments=files if last else [],
        )
