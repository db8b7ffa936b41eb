"""Sign-in as Microsoft Entra does it: discovery documents and tokens for client credentials.

Tokens are signed with a key of the day, so that a tenant started again still knows them.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from dev.tenant.exchange import Json, Refusal, Request, header_of, not_built
from dev.tenant.faults import Fault
from dev.tenant.ids import Ids

LIFE = 3600
GRAPH_RESOURCE = "https://graph.microsoft.com"
_DEFAULT_SCOPES = (f"{GRAPH_RESOURCE}/.default", f"{GRAPH_RESOURCE}//.default")


@dataclass(frozen=True, slots=True)
class App:
    """The app registration and the names its tenant answers to."""

    tenant_id: str
    client_id: str
    client_secret: str
    domains: frozenset[str] = frozenset()


class SignIn:
    """Entra for one tenant."""

    def __init__(self, app: App, ids: Ids, clock: Callable[[], datetime]) -> None:
        self.app = app
        self._ids = ids
        self._clock = clock
        self._generation = 0
        self._issued = 0

    def revoke(self) -> None:
        """From now on no token issued so far is taken."""
        self._generation += 1

    def answer(self, request: Request) -> tuple[str, int, Json]:
        """Route, status and body for a request to login.microsoftonline.com."""
        path = [part for part in urlsplit(request.url).path.split("/") if part]
        match [part.lower() for part in path]:
            case [_, "discovery", "instance"]:
                return "discovery", 200, self._instances()
            case [tenant, "v2.0", ".well-known", "openid-configuration"]:
                return "openid", *self._guarded(lambda: self._openid(path[0], tenant))
            case [tenant, "oauth2", "v2.0", "token"]:
                form = _form(request)
                return "token", *self._guarded(lambda: self._token(tenant, form))
        raise not_built(f"{request.method} {urlsplit(request.url).path} of the sign-in service")

    def struck(self, fault: Fault, status: int) -> Json:
        """The body of an injected refusal."""
        if status in (400, 401):
            return self._error(fault.code or "7000222", "invalid_client", "The client secret has expired.")
        return self._error(fault.code or "90033", "temporarily_unavailable", "The service is busy at the moment.")

    def check(self, request: Request) -> None:
        """Raise the 401 of Graph unless the request bears a token that is good now."""
        scheme, _, token = header_of(request.headers, "Authorization").partition(" ")
        if not token.strip() or scheme.lower() != "bearer":
            raise _unauthorized("The request has no access token.")
        head, _, signature = token.strip().rpartition(".")
        if not hmac.compare_digest(signature, self._signature(head)):
            raise _unauthorized("The access token cannot be read, or is not signed by this tenant.")
        claims = orjson.loads(urlsafe_b64decode(head.partition(".")[2] + "=="))
        if claims["gen"] != self._generation:
            raise _unauthorized("The access token was revoked.")
        if self._clock().timestamp() >= claims["exp"]:
            raise _unauthorized("The access token has expired: its lifetime is over.")

    def _token(self, tenant: str, form: dict[str, str]) -> Json:
        self._check_tenant(tenant)
        grant = form.get("grant_type", "")
        if grant != "client_credentials":
            raise _AuthError(400, "70003", "unsupported_grant_type", f"The grant type {grant!r} is not supported here.")
        if form.get("client_id", "").lower() != self.app.client_id:
            sentence = f"There is no application {form.get('client_id', '')!r} in this tenant."
            raise _AuthError(400, "700016", "unauthorized_client", sentence)
        if not form.get("client_secret"):
            raise _AuthError(401, "7000218", "invalid_client", "Neither client_secret nor client_assertion was sent.")
        if not hmac.compare_digest(form["client_secret"].encode(), self.app.client_secret.encode()):
            sentence = "The client secret is wrong; was its id sent, not its value?"
            raise _AuthError(401, "7000215", "invalid_client", sentence)
        if form.get("scope", "").split(" ")[0] not in _DEFAULT_SCOPES:
            sentence = "Client credentials need the scope of one resource that ends with /.default."
            raise _AuthError(400, "1002012", "invalid_scope", sentence)
        life = LIFE - 1
        return {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": self._issue()}

    def _issue(self) -> str:
        self._issued += 1
        now = int(self._clock().timestamp())
        claims = {
            "aud": GRAPH_RESOURCE,
            "iss": f"https://sts.windows.net/{self.app.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + LIFE,
            "appid": self.app.client_id,
            "tid": self.app.tenant_id,
            "roles": ["Mail.Read", "User.Read.All"],
            "uti": self._ids.text(15, "token", str(now), str(self._issued)),
            "gen": self._generation,
        }
        head = ".".join(_b64(orjson.dumps(part)) for part in ({"typ": "JWT", "alg": "HS256"}, claims))
        return f"{head}.{self._signature(head)}"

    def _signature(self, head: str) -> str:
        return self._ids.text(30, "signature", self.app.client_secret, head)

    def _check_tenant(self, tenant: str) -> None:
        if tenant in ("common", "organizations", "consumers"):
            raise _AuthError(400, "50059", "invalid_request", "The request names no tenant.")
        if tenant not in self.app.domains and tenant != self.app.tenant_id:
            raise _AuthError(400, "90002", "invalid_request", f"There is no tenant {tenant!r}.")

    def _openid(self, spelled: str, tenant: str) -> Json:
        if tenant not in ("common", "organizations"):
            self._check_tenant(tenant)
        own = spelled if tenant in ("common", "organizations") else self.app.tenant_id
        base = "https://login.microsoftonline.com"
        return {
            "token_endpoint": f"{base}/{own}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{base}/{own}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": f"{base}/{'{tenantid}' if own == spelled and tenant == 'common' else own}/v2.0",
            "authorization_endpoint": f"{base}/{own}/oauth2/v2.0/authorize",
            "end_session_endpoint": f"{base}/{own}/oauth2/v2.0/logout",
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "msgraph_host": "graph.microsoft.com",
        }

    def _instances(self) -> Json:
        hosts = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
        one = {"preferred_network": hosts[0], "preferred_cache": hosts[1], "aliases": hosts}
        endpoint = f"https://{hosts[0]}/{self.app.tenant_id}/v2.0/.well-known/openid-configuration"
        return {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [one]}

    def _guarded(self, answer: Callable[[], Json]) -> tuple[int, Json]:
        try:
            return 200, answer()
        except _AuthError as error:
            return error.status, self._error(error.number, error.code, error.sentence)

    def _error(self, number: str, code: str, sentence: str) -> Json:
        when = f"{self._clock():%Y-%m-%d %H:%M:%SZ}"
        trace, correlation = self._ids.guid("trace", when, number), self._ids.guid("correlation", when, number)
        return {
            "error": code,
            "error_description": f"AADSTS{number}: {sentence} Trace ID: {trace} "
            f"Correlation ID: {correlation} Timestamp: {when}",
            "error_codes": [int(number)],
            "timestamp": when,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        }


class _AuthError(Exception):
    def __init__(self, status: int, number: str, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.number, self.code, self.sentence = status, number, code, sentence


def _unauthorized(sentence: str) -> Refusal:
    challenge = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    return Refusal(401, "InvalidAuthenticationToken", sentence, {"WWW-Authenticate": challenge})


def _form(request: Request) -> dict[str, str]:
    # Real clients are seen to send a query string along, and Entra reads it too.
    pairs: list[tuple[Any, Any]] = parse_qsl(urlsplit(request.url).query)
    return dict([*pairs, *parse_qsl(request.body.decode("utf-8", "replace"))])


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
