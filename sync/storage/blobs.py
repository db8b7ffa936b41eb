"""Azure Blob Storage behind `ports.Blobs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ResourceNotModifiedError,
)
from azure.storage.blob import BlobServiceClient, StorageErrorCode

from sync.errors import Stale
from sync.ports import Blob
from sync.storage.groups import check_name
from sync.storage.trouble import trouble


class AzureBlobs:
    """Files of one container; it must exist, else LookupError. The service stays the caller's to close."""

    def __init__(self, service: BlobServiceClient, container: str) -> None:
        self._container = service.get_container_client(container)

    @trouble()
    def put(self, name: str, data: bytes, version: str | None = None) -> str:
        """Write a file; returns its version. With `version` only over exactly that one ("" is absent), else Stale."""
        check_name(name)
        condition: dict[str, Any] = {}
        if version == "":
            condition = {"match_condition": MatchConditions.IfMissing}
        elif version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        try:
            done = self._container.get_blob_client(name).upload_blob(data, overwrite=True, **condition)
        except (ResourceExistsError, ResourceModifiedError) as error:
            raise Stale("A file changed since it was read.", name) from error
        except ResourceNotFoundError as error:
            self._must_exist(error)
            raise Stale("A file that had to be there is gone.", name) from error
        return str(done["etag"])

    @trouble()
    def stream(self, name: str, pieces: Iterable[bytes]) -> int:
        """Write a file in blocks of 4 MB; it is there as a whole or not at all. Returns its size."""
        check_name(name)
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces:
                size += len(piece)
                yield piece

        try:
            self._container.get_blob_client(name).upload_blob(counted(), overwrite=True)
        except ResourceNotFoundError as error:
            self._must_exist(error)
            raise
        return size

    @trouble()
    def get(self, name: str, unless: str = "") -> Blob | None:
        """A file, or None where it is absent or still has the version `unless`."""
        check_name(name)
        condition: dict[str, Any] = {"etag": unless, "match_condition": MatchConditions.IfModified} if unless else {}
        try:
            found = self._container.get_blob_client(name).download_blob(**condition)
            return Blob(found.readall(), str(found.properties.etag))
        except (ResourceModifiedError, ResourceNotModifiedError):  # of a 304 the SDK makes the one or the other
            return None
        except ResourceNotFoundError as error:
            self._must_exist(error)
            return None

    @trouble()
    def version(self, name: str) -> str:
        """The version of a file without its bytes, "" where it is absent."""
        check_name(name)
        try:
            return str(self._container.get_blob_client(name).get_blob_properties().etag)
        except ResourceNotFoundError as error:
            self._must_exist(error)
            return ""

    @trouble()
    def delete(self, name: str, version: str | None = None) -> None:
        """Remove a file; removing what is gone is success. With `version` only exactly that one, else Stale."""
        check_name(name)
        condition: dict[str, Any] = {}
        if version is not None:
            condition = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        try:
            self._container.get_blob_client(name).delete_blob(**condition)
        except ResourceModifiedError as error:
            if not self.version(name):  # what is not there has no version either
                return
            raise Stale("A file changed since it was read.", name) from error
        except ResourceNotFoundError as error:
            self._must_exist(error)

    def _must_exist(self, error: ResourceNotFoundError) -> None:
        if getattr(error, "error_code", "") == StorageErrorCode.CONTAINER_NOT_FOUND:
            raise LookupError(f"There is no container {self._container.container_name!r}.") from error
