"""The door for clients that others wrote: TLS on 127.0.0.1, to be reached by itself or as an HTTPS proxy.

A client with HTTPS_PROXY set to this door asks it for a connection to graph.microsoft.com (or any host), gets one,
and speaks TLS on it; one that begins with TLS is served at once. The certificate is given, and the client has to trust
the authority that signed it.
"""

from __future__ import annotations

import socket
import ssl

from dev.tenant.server import Handler, Server
from dev.tenant.state import Tenant

_TLS_HELLO = b"\x16"
_PEEK = socket.MSG_PEEK


def serve_tls(tenant: Tenant, context: ssl.SSLContext, port: int = 0) -> Server:
    """Serve a tenant over TLS on 127.0.0.1; port 0 takes a free one."""

    class TlsHandler(Handler):
        def setup(self) -> None:
            super().setup()
            if self.connection.recv(1, _PEEK) == _TLS_HELLO:
                self._encrypt()

        def finish(self) -> None:
            super().finish()
            # Encrypting took the socket over from the one the server closes.
            self.connection.close()

        def do_CONNECT(self) -> None:  # noqa: N802 - named by http.server
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.wfile.flush()
            self._encrypt()

        def _encrypt(self) -> None:
            self.server.door.closed(self.connection)
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.server.door.opened(self.connection)
            self.rfile = self.connection.makefile("rb", -1)
            self.wfile = self.connection.makefile("wb", -1)
            self.scheme = "https"
            self.close_connection = False

    return Server(tenant, port, TlsHandler)
