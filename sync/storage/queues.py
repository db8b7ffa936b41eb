"""Azure Storage queues behind `ports.Queue`."""

from __future__ import annotations

import math

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from sync.storage.groups import check_text
from sync.storage.trouble import trouble

FOR_EVER = -1  # the service's own default forgets a message after a week, and a job with it


class AzureQueue:
    """Queues of one storage account; they must exist, else LookupError. The service stays the caller's to close."""

    def __init__(self, service: QueueServiceClient) -> None:
        self._service = service

    @trouble()
    def put(self, queue: str, text: str, delay: float = 0) -> None:
        """Send `text` (base64 on the wire, as the Functions host expects), visible after `delay` seconds, rounded up.

        Raises TooLarge above 48 KB of UTF-8, StorageUnavailable, and ValueError for a delay outside of 0 to 7 days.
        """
        check_text(text, delay)
        client = self._service.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy())
        try:
            client.send_message(text, visibility_timeout=math.ceil(delay), time_to_live=FOR_EVER)
        except ResourceNotFoundError as error:
            raise LookupError(f"There is no queue {queue!r}.") from error

    @trouble()
    def length(self, queue: str) -> int:
        """About how many messages there are, those not visible yet and those being worked among them.

        https://learn.microsoft.com/rest/api/storageservices/get-queue-metadata
        """
        try:
            return self._service.get_queue_client(queue).get_queue_properties().approximate_message_count or 0
        except ResourceNotFoundError as error:
            raise LookupError(f"There is no queue {queue!r}.") from error
