"""Where does what is too large for a message go?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from nats import errors as nats_errors
from nats.js import errors as js_errors

from contracts.errors import Unavailable
from contracts.result import ContentRef

if TYPE_CHECKING:
    from infra.nats.wire import Wire

BUCKET: Final = "assets"


class Assets:
    """The object store ``assets``; an object's name is the SHA-256 of its bytes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def put(self, body: bytes) -> ContentRef:
        """Store bytes; equal bytes are stored once.

        Raises:
            Unavailable: the broker does not take it now.
        """
        digest = hashlib.sha256(body).hexdigest()
        try:
            store = await self._wire.client.jetstream(timeout=10).object_store(BUCKET)
            try:
                await store.get_info(digest)
            except js_errors.ObjectNotFoundError:
                await store.put(digest, body)
        except (TimeoutError, nats_errors.Error, js_errors.Error) as error:
            raise Unavailable(f"object {digest} is not stored: {error}") from error
        return ContentRef(object=digest, sha256=digest, size=len(body))

    async def has(self, ref: ContentRef) -> bool:
        """Whether the bytes of a reference are there.

        Raises:
            Unavailable: the broker does not answer.
        """
        try:
            store = await self._wire.client.jetstream(timeout=10).object_store(BUCKET)
            found = await store.get_info(ref.object)
        except js_errors.ObjectNotFoundError:
            return False
        except (TimeoutError, nats_errors.Error, js_errors.Error) as error:
            raise Unavailable(f"object {ref.object} cannot be looked up: {error}") from error
        return not found.deleted

    async def get(self, ref: ContentRef) -> bytes:
        """The bytes of a reference.

        Raises:
            Unavailable: the broker does not answer, or the object is gone or damaged.
        """
        try:
            store = await self._wire.client.jetstream(timeout=10).object_store(BUCKET)
            found = await store.get(ref.object)
        except (TimeoutError, nats_errors.Error, js_errors.Error) as error:
            raise Unavailable(f"object {ref.object} cannot be read: {error}") from error
        body = found.data or b""
        if hashlib.sha256(body).hexdigest() != ref.sha256:
            raise Unavailable(f"object {ref.object} is damaged: its SHA-256 differs")
        return body
