"""Object store ``assets``: contents that are too large for a message."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
from nats import errors as nats_errors
from nats.js import errors as js_errors

from contracts import bucket_table
from contracts.errors import Unavailable
from contracts.result import ContentRef
from infra.nats import log
from infra.nats.lookup import Lookup

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

BUCKET: Final = bucket_table.ASSETS.name
STREAM: Final = bucket_table.ASSETS.stream


def reference(body: bytes) -> ContentRef:
    """Make the reference that a message carries in place of large bytes."""
    digest = hashlib.sha256(body).hexdigest()
    return ContentRef(object=digest, sha256=digest, size=len(body))


class _Info(msgspec.Struct, frozen=True):
    """The metadata of an object, as far as it is needed here (ADR-20 of NATS)."""

    nuid: str = ""
    deleted: bool = False


class Assets:
    """The object store ``assets``; an object's name is the SHA-256 of its bytes."""

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._wire = wire
        self._lookup = Lookup(wire)

    async def put(self, body: bytes) -> ContentRef:
        """Store bytes; equal bytes are stored once.

        Raises:
            Unavailable: the broker does not store it now.
        """
        ref = reference(body)
        try:
            store = await self._wire.client.jetstream(timeout=10).object_store(BUCKET)
            try:
                await store.get_info(ref.object)
            except js_errors.ObjectNotFoundError:
                await store.put(ref.object, body)
        except (TimeoutError, nats_errors.Error, js_errors.Error) as error:
            raise Unavailable(f"object {ref.object} is not stored: {error}") from error
        return ref

    async def has(self, ref: ContentRef) -> bool:
        """Whether the object of a reference exists.

        Raises:
            Unavailable: the broker does not answer.
        """
        return await self._info(ref) is not None

    async def get(self, ref: ContentRef) -> bytes:
        """Read the bytes of a reference.

        Direct gets read them, as they read the whole log: a reader then needs no permission to create consumers,
        which would let it publish on any subject.

        Raises:
            Unavailable: the broker does not answer, or the object is missing or damaged.
        """
        info = await self._info(ref)
        if info is None:
            raise Unavailable(f"object {ref.object} does not exist (any more)")
        chunks = log.read(self._wire, STREAM, f"$O.{BUCKET}.C.{info.nuid}")
        try:
            body = b"".join([entry.body async for entry in chunks])
        except log.StreamMissing as error:
            raise Unavailable(str(error)) from error
        if hashlib.sha256(body).hexdigest() != ref.sha256:
            raise Unavailable(f"object {ref.object} is damaged: its SHA-256 differs")
        return body

    async def _info(self, ref: ContentRef) -> _Info | None:
        name = base64.urlsafe_b64encode(ref.object.encode()).decode()
        found = await self._lookup.last(STREAM, f"$O.{BUCKET}.M.{name}")
        if found is None:
            return None
        try:
            info = msgspec.json.decode(found.body, type=_Info)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"object {ref.object} cannot be read: {error}") from error
        return None if info.deleted else info
