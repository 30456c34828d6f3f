"""Content kind of an extension: its documents, what stands in for one, and where its files are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from contracts.content.document import Document


class ContentKind(msgspec.Struct, frozen=True, kw_only=True):
    """A content kind that an installed package brings.

    An extension exports an instance under an entry point of the group ``understudy.kinds``; the entry point's
    name is the kind's name (docs/extending.md).
    """

    #: What a valid document is.
    model: type[Document]
    #: A valid document whose visible texts begin with ``contracts.content.placeholder.MARK``.
    placeholder: Mapping[str, Any]
    #: Folder with golden samples, ``sample_*.json``; none: a placeholder stands in.
    samples: Path | None = None
    #: Folder with prompt families, ``<family>/<version>.md``; one family has the kind's name.
    prompts: Path | None = None
    #: Provider that writes it unless ``narrative.providers`` says otherwise.
    provider: str = "local"
    #: The scripted provider's document, from what is asked for (one line) and a number from 0 to 9; none: the
    #: placeholder.
    scripted: Callable[[str, int], Mapping[str, Any]] | None = None
