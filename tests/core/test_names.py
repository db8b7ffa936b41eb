"""Names and numbers that Azure would refuse or quietly misuse: queues, tables, containers, functions, threads."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from sync.errors import BadSettings
from sync.settings import NAMES, load
from sync.storage import CONTAINER, POISON, QUEUES, TABLES

ROOT = Path(__file__).resolve().parents[2]

# learn.microsoft.com/rest/api/storageservices/naming-queues-and-metadata, and the same for containers
QUEUE_OR_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
# learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
TABLE = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")
FUNCTION = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,126}")


@pytest.mark.parametrize("queue", QUEUES)
def test_azure_takes_the_name_of_a_queue_and_of_its_poison_queue(queue: str) -> None:
    assert QUEUE_OR_CONTAINER.fullmatch(queue)
    assert QUEUE_OR_CONTAINER.fullmatch(queue + POISON)
    # A queue that ends so has no poison queue of its own: the host would retry its messages for ever.
    assert not queue.endswith(POISON)


@pytest.mark.parametrize(
    "name", ["ab", "Sync-mail", "sync_mail", "sync--mail", "-sync", "sync-", "s" * 64, "sync mail"]
)
def test_the_rule_refuses_what_azure_refuses(name: str) -> None:
    assert not QUEUE_OR_CONTAINER.fullmatch(name)


@pytest.mark.parametrize("table", TABLES)
def test_azure_takes_the_name_of_a_table(table: str) -> None:
    assert TABLE.fullmatch(table)
    assert table.lower() != "tables"


def test_names_that_differ_only_by_letter_case_are_one_table_to_azure() -> None:
    assert len({table.lower() for table in TABLES}) == len(TABLES)


def test_azure_takes_the_name_of_the_container() -> None:
    assert QUEUE_OR_CONTAINER.fullmatch(CONTAINER)


def test_azure_takes_the_names_of_the_functions() -> None:
    source = ast.parse((ROOT / "function_app.py").read_text(encoding="utf-8"))
    names = [node.name for node in source.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert names
    assert not [name for name in names if not FUNCTION.fullmatch(name)]


def host() -> dict[str, object]:
    """host.json."""
    return json.loads((ROOT / "host.json").read_text(encoding="utf-8"))


def example() -> dict[str, str]:
    """The values of local.settings.example.json."""
    return json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))["Values"]


def test_every_message_a_host_takes_finds_a_thread() -> None:
    # A message without a thread waits with its ten invisible minutes running, and comes twice.
    queues = host()["extensions"]["queues"]

    taken = queues["batchSize"] + queues["newBatchThreshold"]

    assert int(example()["PYTHON_THREADPOOL_THREAD_COUNT"]) >= taken


def test_a_failed_message_waits_before_it_is_tried_again() -> None:
    # The host's default is zero: five tries within a second, then poison.
    queues = host()["extensions"]["queues"]

    assert queues["visibilityTimeout"] >= "00:00:30"
    assert queues["maxDequeueCount"] >= 2


def test_the_site_owns_every_path() -> None:
    assert host()["extensions"]["http"]["routePrefix"] == ""


def test_the_example_names_every_setting_and_no_other() -> None:
    of_the_platform = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT"}

    assert set(example()) == set(NAMES) | of_the_platform


def test_the_example_is_refused_until_its_secrets_are_replaced() -> None:
    with pytest.raises(BadSettings) as refused:
        load(example())

    assert {problem.split()[0] for problem in refused.value.problems} == {"ACCORD_API_KEY", "ACCORD_DIGEST_KEY"}


def test_with_its_secrets_replaced_the_example_is_enough() -> None:
    mended = example() | {"ACCORD_API_KEY": "k" * 32, "ACCORD_DIGEST_KEY": "AAAAAAAAAAAAAAAAAAAAAA=="}

    settings = load(mended)

    assert settings.backfill_months == 6
    assert settings.domains() == ("firm.example",)
