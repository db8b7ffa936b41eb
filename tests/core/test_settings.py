"""The environment: everything wrong is said at once."""

from __future__ import annotations

import base64
import logging

import pytest

from sync.errors import BadSettings
from sync.keys import Keys
from sync.settings import load
from sync.wiring import build

GOOD = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "SYNC_TICK": "0 * * * * *",
    "ACCORD_TENANT_ID": "00000000-0000-4000-8000-000000000001",
    "ACCORD_CLIENT_ID": "00000000-0000-4000-8000-000000000002",
    "ACCORD_CLIENT_SECRET": "a-client-secret",
    "ACCORD_API_KEY": "an-api-key-of-some-length",
    "ACCORD_DIGEST_KEY": base64.b64encode(b"0123456789abcdef").decode(),
}


def test_good_settings_are_read():
    settings = load({**GOOD, "PATH": "/bin", "ACCORD_INTERNAL_DOMAINS": "firm.example, other.example"})

    assert settings.tick == "0 * * * * *"
    assert settings.domains() == ("firm.example", "other.example")
    assert settings.digest_secret() == b"0123456789abcdef"
    assert settings.backfill_months == 6


def test_the_address_that_the_command_line_goes_to_is_no_business_of_the_app():
    assert load({**GOOD, "ACCORD_URL": "https://accord.firm.example"}) == load(GOOD)


def test_all_that_is_wrong_is_said_at_once():
    wrong = {**GOOD, "ACCORD_TENANT_ID": "acme", "ACCORD_DIGEST_KEY": "!", "ACCORD_CLIENT_SECRETT": "x"}
    del wrong["ACCORD_API_KEY"], wrong["SYNC_TICK"]

    with pytest.raises(BadSettings) as refused:
        load(wrong)

    said = " ".join(refused.value.problems)
    assert len(refused.value.problems) == 5
    assert "ACCORD_CLIENT_SECRETT is not a setting; did you mean ACCORD_CLIENT_SECRET?" in said
    assert "ACCORD_API_KEY is missing." in said
    assert "SYNC_TICK is missing." in said
    assert "ACCORD_TENANT_ID" in said
    assert "ACCORD_DIGEST_KEY is not base64." in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AzureWebJobsStorage": ""}, "AzureWebJobsStorage"),
        ({"AzureWebJobsStorage__accountName": "https://x.example"}, "AzureWebJobsStorage__accountName"),
        ({"ACCORD_DIGEST_KEY": "ä" * 24}, "ACCORD_DIGEST_KEY is not base64."),
        ({"ACCORD_INTERNAL_DOMAINS": "@firm.example"}, "ACCORD_INTERNAL_DOMAINS .*'@firm.example' is not a domain"),
        ({"ACCORD_INTERNAL_DOMAINS": "firm.example, firm"}, "ACCORD_INTERNAL_DOMAINS .*'firm' is not a domain"),
        ({"ACCORD_INTERNAL_DOMAINS": " ".join(f"d{n}.example" for n in range(501))}, "names too many domains"),
        ({"ACCORD_DIGEST_KEY": base64.b64encode(b"short").decode()}, "16 to 64 bytes"),
        ({"ACCORD_BACKFILL_MONTHS": "many"}, "ACCORD_BACKFILL_MONTHS"),
        ({"ACCORD_NOTHING_LIKE_IT": "1"}, "ACCORD_NOTHING_LIKE_IT is not a setting."),
    ],
)
def test_each_problem_names_its_setting(change, said):
    with pytest.raises(BadSettings, match=said):
        load({**GOOD, **change})


def test_a_secret_is_never_part_of_what_is_said():
    with pytest.raises(BadSettings) as refused:
        load({**GOOD, "ACCORD_CLIENT_SECRET": "hunter2", "ACCORD_TENANT_ID": "x"})

    assert "hunter2" not in str(refused.value)


def test_a_storage_account_by_identity_is_enough():
    given = {name: value for name, value in GOOD.items() if name != "AzureWebJobsStorage"}

    assert load({**given, "AzureWebJobsStorage__accountName": "firmstore"}).storage_account == "firmstore"


KEY = base64.b64encode(b"the key of a storage account").decode()
ENDPOINTS = ";".join(
    f"{kind}Endpoint=https://firm.{kind.lower()}.core.windows.net" for kind in ("Blob", "Queue", "Table")
)


@pytest.mark.parametrize(
    "connection",
    [
        "UseDevelopmentStorage=true",
        f"DefaultEndpointsProtocol=https;AccountName=firm;AccountKey={KEY};EndpointSuffix=core.windows.net",
        f"AccountName=firm;AccountKey={KEY};",
        f"accountname=firm;accountkey={KEY};TableEndpoint=http://127.0.0.1:10002/firm",
        "AccountName=firm;SharedAccessSignature=sv=2024-11-04&sig=a%3D",
        f"{ENDPOINTS};SharedAccessSignature=sv=2024-11-04&sig=a%3D",
    ],
)
def test_a_connection_string_that_opens_a_storage_account_is_taken(connection):
    site = build(load({**GOOD, "AzureWebJobsStorage": connection}))
    site.close()

    assert site.settings.storage.get_secret_value() == connection


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ("nonsense", "made of Name=value"),
        ("AccountName=;AccountKey=", "made of Name=value"),
        (f"AccountName=firm;AccountName=firm;AccountKey={KEY}", "each once"),
        (f"DefaultEndpointsProtocol=https; AccountName=firm;AccountKey={KEY}", "made of Name=value"),
        ("AccountName=firm", "AccountName with AccountKey"),
        (f"AccountKey={KEY}", "AccountName with AccountKey"),
        (f"{ENDPOINTS};AccountKey={KEY}", "AccountName with AccountKey"),
        ("BlobEndpoint=https://firm.example;SharedAccessSignature=sv=1&sig=x", "with all endpoints"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://x", "AccountName with AccountKey"),
        (f"AccountName=firm;AccountKey={KEY};TableEndpoint=firm", "begin with https://"),
    ],
)
def test_a_connection_string_that_opens_nothing_is_refused_with_the_reason_and_never_shown(connection, said):
    with pytest.raises(BadSettings, match=f"AzureWebJobsStorage is no connection string .*{said}") as refused:
        load({**GOOD, "AzureWebJobsStorage": connection})

    assert KEY not in str(refused.value)


def test_storage_and_domains_are_reported_with_all_others():
    wrong = {**GOOD, "AzureWebJobsStorage": "x", "ACCORD_INTERNAL_DOMAINS": "@x.example", "ACCORD_TENANT_ID": "acme"}

    with pytest.raises(BadSettings) as refused:
        load(wrong)

    assert [problem.split()[0] for problem in refused.value.problems] == [
        "AzureWebJobsStorage",
        "ACCORD_TENANT_ID",
        "ACCORD_INTERNAL_DOMAINS",
    ]


def test_the_key_of_all_digests_is_not_shown_with_the_object():
    assert repr(Keys(b"0123456789abcdef")) == "Keys()"


@pytest.mark.parametrize(
    "library", ["azure.core.pipeline.policies.http_logging_policy", "azure.identity", "msal", "urllib3.connectionpool"]
)
@pytest.mark.parametrize("storage", ["AzureWebJobsStorage", "AzureWebJobsStorage__accountName"])
def test_addresses_of_requests_with_keys_of_rows_are_not_logged(library, storage, caplog):
    given = {name: value for name, value in GOOD.items() if name != "AzureWebJobsStorage"}
    given[storage] = "firmstore" if storage.endswith("Name") else GOOD["AzureWebJobsStorage"]
    caplog.set_level(logging.INFO)
    for name in ("azure", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)

    build(load(given)).close()

    assert not logging.getLogger(library).isEnabledFor(logging.INFO)
    assert logging.getLogger(library).isEnabledFor(logging.WARNING)


def test_a_level_that_somebody_chose_for_the_libraries_stays(caplog):
    caplog.set_level(logging.DEBUG, "azure")

    build(load(GOOD)).close()

    assert logging.getLogger("azure").level == logging.DEBUG
