"""The environment: everything wrong is said at once."""

from __future__ import annotations

import base64

import pytest

from sync.errors import BadSettings
from sync.settings import load

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
