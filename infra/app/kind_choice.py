"""Choice of a request's content kind where the sender names none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from contracts.expansion import format_unknown_template
from contracts.request import RequestError

#: The kind of a request that does not name one.
USUAL: Final = "layout"


class _Body(msgspec.Struct, frozen=True):
    """What of a body decides."""

    node: Any = None
    scenes: Any = None
    template_id: Any = None
    templateId: Any = None  # noqa: N815 - the wire's other spelling


_decode: Final = msgspec.json.Decoder(_Body).decode


def choose_kind(body: bytes, *, templates: Callable[[], Path]) -> str:
    """The kind of the body's node or template, else ``plot`` with scenes, else ``layout``.

    Args:
        body: a request's body.
        templates: gives the folder of the templates, where it matters.

    Raises:
        RequestError: the template is unknown here, so that its kind is not known.
    """
    try:
        said = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Its faults are reported when the whole body is checked.
        return USUAL
    fields = cast("Mapping[str, Any]", said.node) if isinstance(said.node, Mapping) else {}
    named = fields.get("generation_type") or fields.get("generationType")
    if isinstance(named, str):
        return named
    ids = (said.template_id, said.templateId, fields.get("template_id"), fields.get("templateId"))
    template = next((each for each in ids if isinstance(each, str)), None)
    if template is not None:
        return _kind_of(template, templates())
    return "plot" if said.scenes is True else USUAL


def _kind_of(template: str, folder: Path) -> str:
    from infra.stores import templates as store  # noqa: PLC0415 - only where a template is named

    known = store.load(folder, strict=False)
    found = known.find(template)
    if found is None:
        raise RequestError("template_id", known.lost(template) or format_unknown_template(template, known))
    return str(found["generation_type"])
