"""Azure Table Storage behind `ports.Tables`.

One write is one request. The exceptions: where a group deletes a row that is gone, the group fails as a whole and is
sent again without that row; and where Azure answers nothing or 5xx, the SDK tries again, and then it is
StorageUnavailable. A try whose answer was lost
may have succeeded, so that the next one reports Exists or Stale for what we wrote ourselves: like every Conflict, a
reason to read again.

What comes back differs from what went in as `groups.stored` says: moments in UTC with microseconds, no lone halves of
surrogate pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, TableClient, TableEntity, TableServiceClient, UpdateMode

from sync.errors import Exists, Stale, TooLarge
from sync.ports import Row, Value, Write
from sync.storage.groups import check_bound, check_group, check_key, stored
from sync.storage.trouble import trouble

PAGE = 1000

# The SDK's default leaves out POST and PATCH, which is what inserts, merges and groups travel as.
_RETRIED = ("GET", "PUT", "DELETE", "POST", "PATCH")
_TOO_LARGE = {"EntityTooLarge", "PropertyValueTooLarge", "TooManyProperties", "RequestBodyTooLarge"}
_INDEX = re.compile(r"(\d+):")
_MODES = {"merge": UpdateMode.MERGE, "update": UpdateMode.MERGE, "replace": UpdateMode.REPLACE}


class AzureTables:
    """Tables of one storage account; they must exist, else LookupError. The service stays the caller's to close."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._clients: dict[str, TableClient] = {}

    @trouble()
    def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, or None."""
        check_key(partition)
        check_key(key)
        try:
            return _row(self._client(table).get_entity(partition, key))
        except ResourceNotFoundError as error:
            if _code(error) == "TableNotFound":
                _raise(error, table)
            return None

    def rows(
        self,
        table: str,
        partition: str,
        first: str = "",
        last: str = "",
        select: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Rows of one partition with first <= key < last in key order, read in pages of up to 1000."""
        check_key(partition)
        check_bound(first)
        check_bound(last)
        if limit == 0:
            return iter(())
        condition = "PartitionKey eq @partition"
        if first:
            condition += " and RowKey ge @first"
        if last:
            condition += " and RowKey lt @last"
        bounds = {"partition": partition, "first": first, "last": last}
        return islice(self._query(table, select, limit or PAGE, condition, bounds), limit)

    def scan(self, table: str, select: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table in order of partition and key, read in pages of up to 1000."""
        return self._query(table, select, PAGE, "", {})

    @trouble()
    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """All of these writes or none; row key -> new version. What was deleted has none."""
        check_group(partition, writes)
        rest = list(writes)
        while rest:
            try:
                return self._send(self._client(table), partition, rest)
            except HttpResponseError as error:
                failed = _failed(error, rest)
                if failed is None or not _gone_already(error, failed):
                    _raise(error, table, failed.key if failed else "")
                rest.remove(failed)
        return {}

    def _send(self, client: TableClient, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        # The SDK takes a 404 for the success of a single delete, versioned or not: a group of one tells.
        if len(writes) == 1 and writes[0].action != "delete":
            return {writes[0].key: _send_alone(client, partition, writes[0])}
        answers = client.submit_transaction([_part(partition, write) for write in writes], retry_on_methods=_RETRIED)
        pairs = zip(writes, answers, strict=True)
        return {write.key: answer["etag"] for write, answer in pairs if write.action != "delete"}

    def _query(
        self, table: str, select: Sequence[str], page: int, condition: str, bounds: Mapping[str, str]
    ) -> Iterator[Row]:
        # Timestamp is selected because the version is made from it where the answer has no etag of its own.
        names = ["PartitionKey", "RowKey", "Timestamp", *select] if select else None
        found = self._client(table).query_entities(
            condition, parameters=dict(bounds), select=names, results_per_page=min(page, PAGE)
        )
        with trouble():
            try:
                yield from map(_row, found)
            except ResourceNotFoundError as error:
                _raise(error, table)

    def _client(self, table: str) -> TableClient:
        client = self._clients.get(table)
        if client is None:
            client = self._clients[table] = self._service.get_table_client(table)
        return client


def _send_alone(client: TableClient, partition: str, write: Write) -> str:
    entity = _entity(partition, write)
    if write.action == "insert":
        done = client.create_entity(entity, response_preference="return-no-content", retry_on_methods=_RETRIED)
    elif write.action == "update":
        done = client.update_entity(entity, UpdateMode.MERGE, retry_on_methods=_RETRIED)
    elif write.version is None:
        done = client.upsert_entity(entity, _MODES[write.action], retry_on_methods=_RETRIED)
    else:
        done = client.update_entity(
            entity,
            _MODES[write.action],
            etag=write.version,
            match_condition=MatchConditions.IfNotModified,
            retry_on_methods=_RETRIED,
        )
    return str(done["etag"])


def _part(partition: str, write: Write) -> tuple[str, dict[str, Any], dict[str, Any]]:
    condition = (
        {} if write.version is None else {"etag": write.version, "match_condition": MatchConditions.IfNotModified}
    )
    entity = _entity(partition, write)
    if write.action == "insert":
        return "create", entity, {"response_preference": "return-no-content"}
    if write.action == "delete":
        return "delete", entity, condition
    there = condition or write.action == "update"
    return "update" if there else "upsert", entity, {"mode": _MODES[write.action], **condition}


def _entity(partition: str, write: Write) -> dict[str, Any]:
    entity: dict[str, Any] = {name: _to_wire(stored(value)) for name, value in write.values.items()}
    return {**entity, "PartitionKey": partition, "RowKey": write.key}


def _to_wire(value: Value) -> Value | EntityProperty:
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        return EntityProperty(value, EdmType.INT64)
    return value


def _row(entity: TableEntity) -> Row:
    values = {name: _from_wire(value) for name, value in entity.items() if name not in ("PartitionKey", "RowKey")}
    return Row(entity["PartitionKey"], entity["RowKey"], values, str(entity.metadata["etag"]))


def _from_wire(value: Any) -> Value:
    if isinstance(value, EntityProperty):
        return int(value.value)
    if isinstance(value, datetime):  # the SDK's own kind would carry its original text into the next write
        parts = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
        return datetime(*parts, tzinfo=UTC)
    known: Value = value
    return known


def _failed(error: HttpResponseError, writes: Sequence[Write]) -> Write | None:
    """The write that failed, where the storage tells: a group's answer begins its message with the number."""
    if len(writes) == 1:
        return writes[0]
    found = _INDEX.match(error.message)
    return writes[int(found[1])] if found and int(found[1]) < len(writes) else None


def _gone_already(error: HttpResponseError, write: Write) -> bool:
    """Whether the only trouble is that a row to be deleted is gone."""
    anyway = write.action == "delete" and write.version is None
    return anyway and error.status_code == 404 and _code(error) != "TableNotFound"


def _raise(error: HttpResponseError, table: str, key: str = "") -> NoReturn:
    """Raise what an answer means to the caller, or the answer itself where it means nothing in particular."""
    code = _code(error)
    if code == "TableNotFound":
        raise LookupError(f"There is no table {table!r}.") from error
    if code in _TOO_LARGE or error.status_code == 413:
        raise TooLarge(f"The storage refused a row or group of table {table!r} as too large ({code}).") from error
    if code == "EntityAlreadyExists":
        raise Exists("A row that had to be new exists already.", key) from error
    if error.status_code in (404, 412):
        raise Stale("A row changed since it was read.", key) from error
    raise error


def _code(error: HttpResponseError) -> str:
    """Azure's name of an error. The SDK has read it, except from the answer to a single insert."""
    known = getattr(error, "error_code", None)
    if known is not None:
        return str(getattr(known, "value", known))
    try:
        return str(json.loads(error.response.text())["odata.error"]["code"]) if error.response is not None else ""
    except (ValueError, KeyError, TypeError):
        return ""
