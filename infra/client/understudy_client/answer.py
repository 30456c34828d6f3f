"""What the client returns: a request that was accepted, and its answer."""

from __future__ import annotations

from typing import Any

import msgspec

from understudy_client.errors import MissingExtra, Unreadable
from understudy_client.result import Result


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A request, or a cancellation, that the broker has acknowledged."""

    request_id: str
    kind: str
    subject: str
    #: In REQUESTS; 0: the gateway does not say.
    sequence: int
    #: The broker had this very request already.
    duplicate: bool = False
    #: Trace id of the request (W3C Trace Context), which its result carries too; ``None``: it has none.
    trace_id: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The one result of a request, with its content."""

    result: Result
    #: The content as plain JSON values; ``None`` where the result has none.
    document: Any = None

    @property
    def content(self) -> Any:
        """The content as the kind's model of :mod:`understudy_client.models`.

        Plain JSON values for ``custom`` and for a kind that has no model here; ``None`` where the result has no
        content.

        Raises:
            MissingExtra: pydantic is not installed; :attr:`document` needs none.
            Unreadable: the content does not fit the model, which may be older than the pipeline.
        """
        if self.document is None:
            return None
        return typed(self.result.kind, self.document)


def typed(kind: str, document: Any) -> Any:
    """A document as its kind's model; as it is for a kind that has none.

    Raises:
        MissingExtra: pydantic is not installed.
        Unreadable: the document does not fit the model.
    """
    try:
        from pydantic import ValidationError  # noqa: PLC0415 - an extra

        from understudy_client.models import MODELS  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if error.name != "pydantic":
            raise
        raise MissingExtra("a typed model of the content", "models", "pydantic>=2.14") from None
    model = MODELS.get(kind)
    if model is None:
        return document
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Unreadable(
            f"the content does not fit the model {model.__name__} of this client: {error}"
        ) from None
