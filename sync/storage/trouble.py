"""What passes by itself is told from what does not: a storage that is busy or does not answer costs no attempt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from sync.errors import StorageUnavailable

# Seconds: the SDK's own tries lie behind us.
AGAIN = 15.0


@contextmanager
def trouble() -> Iterator[None]:
    """Raise StorageUnavailable for no answer, half an answer, no token, a timeout, or any 5xx; everything else rises as
    it is.

    https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
    """
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as lost:
        raise StorageUnavailable(f"The storage did not answer ({type(lost).__name__}).", AGAIN) from lost
    except HttpResponseError as error:
        status = error.status_code
        if status is None:  # a body that broke off, or an identity that did not answer
            raise StorageUnavailable(f"The storage did not answer in full ({type(error).__name__}).", AGAIN) from error
        if status != 408 and status < 500:
            raise
        raise StorageUnavailable(f"The storage could not answer for now ({status}).", AGAIN) from error
