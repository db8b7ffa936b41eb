"""A small working Microsoft 365: sign-in, users, folders, messages, deltas, batches; faults and switches as values.

It accepts what the real one accepts, answers as the real one answers, and says so loudly where it cannot.
"""

from __future__ import annotations

from dev.tenant.adapter import TenantAdapter
from dev.tenant.exchange import Request, Response
from dev.tenant.faults import EXEMPT, Fault, Switches
from dev.tenant.mailbox import Mailbox
from dev.tenant.server import Server, serve
from dev.tenant.state import Account, Tenant

__all__ = [
    "EXEMPT",
    "Account",
    "Fault",
    "Mailbox",
    "Request",
    "Response",
    "Server",
    "Switches",
    "Tenant",
    "TenantAdapter",
    "serve",
]
