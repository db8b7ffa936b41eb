"""A small working Microsoft 365: sign-in, users, folders, messages, deltas, batches; faults and switches as values.

It accepts what the real one accepts, answers as the real one answers, and says so loudly where it cannot.
"""

from __future__ import annotations

from dev.tenant.adapter import TenantAdapter
from dev.tenant.exchange import Request, Response
from dev.tenant.faults import EXEMPT, Fault
from dev.tenant.files import Reference
from dev.tenant.lazy import Repeated
from dev.tenant.mailbox import Mailbox
from dev.tenant.server import Server, serve
from dev.tenant.state import Account, Tenant
from dev.tenant.switches import Switches
from dev.tenant.transport import Sent

__all__ = [
    "EXEMPT",
    "Account",
    "Fault",
    "Mailbox",
    "Reference",
    "Repeated",
    "Request",
    "Response",
    "Sent",
    "Server",
    "Switches",
    "Tenant",
    "TenantAdapter",
    "serve",
]
