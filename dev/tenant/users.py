"""Users of the directory."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from dev.tenant.call import Call
from dev.tenant.exchange import Answer, Json, bad_request
from dev.tenant.filters import Type, filter_of
from dev.tenant.odata import next_query, refuse_unbuilt, selected

if TYPE_CHECKING:
    from dev.tenant.state import Account

PAGE = 100
MOST = 999
DEFAULT_USER = (
    *("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone"),
    *("officeLocation", "preferredLanguage", "surname", "userPrincipalName", "id"),
)
USER_PROPERTIES = (*DEFAULT_USER, "accountEnabled", "proxyAddresses", "mailNickname", "userType", "otherMails")
_FILTERS: dict[str, Type] = {
    **dict.fromkeys(("mail", "userPrincipalName", "displayName", "givenName", "surname", "id", "userType"), "text"),
    "accountEnabled": "flag",
}


def everyone(call: Call) -> Answer:
    """GET /users: 100 to a page, $top up to 999."""
    refuse_unbuilt(call.query, "$search", "$orderby", "$expand")
    if "$skip" in call.query.options:
        raise bad_request("$skip is not supported by the directory; follow the nextLink.")
    names = selected(call.query, USER_PROPERTIES, DEFAULT_USER, "user")
    size = call.page_size(call.query.number("$top", 1, MOST), PAGE)
    found = list(call.tenant.accounts)
    if call.query.get("$filter").strip():
        rule = filter_of(call.query.get("$filter"), _FILTERS, USER_PROPERTIES)
        found = [one for one in found if rule.test(_user(one).get)]
    start = _start(call.query.get("$skiptoken"))
    out: Json = {"@odata.context": call.context("users" + _chosen(call))}
    if call.query.flag("$count"):
        out["@odata.count"] = len(found)
    if len(found) > start + size:
        token = urlsafe_b64encode(f"after {start + size}".encode()).decode()
        out["@odata.nextLink"] = f"{call.base}/{call.path}?{next_query(call.query_text, skiptoken=token)}"
    out["value"] = [_shown(one, names) for one in found[start : start + size]]
    return Answer(out)


def one(call: Call, user: str) -> Answer:
    """GET /users/{id, userPrincipalName or another address}."""
    refuse_unbuilt(call.query, "$expand")
    names = selected(call.query, USER_PROPERTIES, DEFAULT_USER, "user")
    found = _shown(call.account(user), names)
    return Answer({"@odata.context": call.context(f"users{_chosen(call)}/$entity"), **found})


def _start(token: str) -> int:
    if not token:
        return 0
    try:
        return int(urlsafe_b64decode(token).decode().removeprefix("after "))
    except ValueError:
        raise bad_request("The $skiptoken is not well formed.") from None


def _chosen(call: Call) -> str:
    chosen = call.query.get("$select").strip()
    return f"({chosen})" if chosen else ""


def _shown(account: Account, names: tuple[str, ...]) -> Json:
    every = _user(account)
    return {name: every[name] for name in names}


def _user(account: Account) -> dict[str, Any]:
    given, _, surname = account.name.partition(" ")
    return {
        "id": account.id,
        "displayName": account.name,
        "givenName": given or None,
        "surname": surname or None,
        "mail": account.address if account.mailbox else None,
        "mailNickname": account.address.partition("@")[0],
        "userPrincipalName": account.address,
        "userType": "Member",
        "accountEnabled": True,
        "proxyAddresses": [f"SMTP:{account.address}", *(f"smtp:{alias}" for alias in account.aliases)],
        "otherMails": [],
        "businessPhones": [],
        "jobTitle": None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": None,
    }
