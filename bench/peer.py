"""python-o365 at the same mailbox: it reads all messages since a moment with their bodies, in its usual way.

It reads into nothing: it decides nothing and stores nothing, as it has no store. So its figures stand beside those of
the product and no gate hangs on them. Signing in is not measured, and neither is the pause of 0.2 s that it makes
between requests unless told otherwise. Prints one line of JSON; requests and their bytes are counted by the tenant.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from urllib.parse import urlencode

import urllib3
from O365 import Account, MSGraphProtocol
from O365.utils.token import MemoryTokenBackend

from bench.usage import clocks, peak_bytes, since


def main() -> None:
    """Sign in, read everything once, and print what it took."""
    told = _told()
    mailbox = account(told).mailbox()
    recent = mailbox.new_query().greater_equal("receivedDateTime", told.since)
    start = clocks()
    seen = characters = 0
    for message in mailbox.get_messages(limit=None, batch=told.page, query=recent):
        seen += 1
        characters += len(message.body)
    took = since(start)
    print(json.dumps({**took, "peak": peak_bytes(), "seen": seen, "characters": characters}))


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peer", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the tenant")
    parser.add_argument("--tenant-id", required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--client-secret", required=True)
    parser.add_argument("--mailbox", required=True, help="address")
    parser.add_argument("--since", type=datetime.fromisoformat, required=True, help="with its offset from UTC")
    parser.add_argument("--page", type=int, help="messages in a page; by default the most that python-o365 asks for")
    return parser.parse_args()


def account(told: argparse.Namespace) -> Account:
    """An account that is signed in at the tenant, and reaches it whatever proxy this machine has."""

    class TenantProtocol(MSGraphProtocol):
        _protocol_url = f"http://127.0.0.1:{told.port}/"

    made = Account(
        (told.client_id, told.client_secret),
        auth_flow_type="credentials",
        tenant_id=told.tenant_id,
        main_resource=told.mailbox,
        protocol=TenantProtocol,
        token_backend=MemoryTokenBackend(),
        requests_delay=0,
    )
    made.con.session = made.con.get_session()
    made.con.session.trust_env = False
    made.con.update_session_auth_header(token(told))
    return made


def token(told: argparse.Namespace) -> str:
    """An access token. Asked for here, since python-o365's own way leads to Microsoft over TLS and nowhere else."""
    form = {
        "client_id": told.client_id,
        "client_secret": told.client_secret,
        "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
    }
    signed = urllib3.request(
        "POST",
        f"http://127.0.0.1:{told.port}/{told.tenant_id}/oauth2/v2.0/token",
        body=urlencode(form),
        headers={"Host": "login.microsoftonline.com", "Content-Type": "application/x-www-form-urlencoded"},
        retries=False,
    )
    if signed.status != 200:
        raise RuntimeError(f"The tenant refused the sign-in with {signed.status}.")
    return str(signed.json()["access_token"])


if __name__ == "__main__":
    main()
