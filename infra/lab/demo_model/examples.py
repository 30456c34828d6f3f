"""Examples of the demo's model: hand-written wishes with their documents and expectations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from infra.lab.demo_model.expectations import Expectation
from infra.lab.demo_model.notes import write_notes
from infra.providers.tuned import chat_ml, document_messages, prose_messages

DATA: Final = Path(__file__).parent / "data"
CUSTOM: Final = "custom"
KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", CUSTOM)


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish and the document that was written for it; a wish of the gate has none."""

    kind: Literal["layout", "plot", "scene", "dialogue", "transition", "custom"]
    topic: str
    wish: str
    expect: tuple[Expectation, ...]
    #: The draft of a document under a request's own schema; of a built-in kind :mod:`notes` makes it.
    prose: str = ""
    document: dict[str, Any] | None = None
    #: Literal and predictable, sentence by sentence: what so small a model can follow.
    plain: bool = False
    #: A request's own schema, of kind ``custom``.
    schema: dict[str, Any] | None = None
    #: ``heldout`` and ``gate``: never trained on.
    split: Literal["train", "heldout", "gate"] = "train"


class LearnedAnswer(msgspec.Struct, frozen=True):
    """One answer to learn: the text before it and the answer."""

    prompt: str
    answer: str


def read(folder: Path = DATA) -> tuple[Example, ...]:
    """All examples, in the order of the files' names and lines."""
    return tuple(
        msgspec.json.decode(line, type=Example)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
        if line.strip()
    )


def tasks(example: Example) -> Iterator[LearnedAnswer]:
    """What the model learns from an example: the draft from the wish, and the document from both."""
    if example.document is None:
        return
    document = json.dumps(example.document, ensure_ascii=False, separators=(",", ":"))
    wish, kind, schema = example.wish, example.kind, example.schema
    draft = example.prose if kind == CUSTOM else write_notes(kind, example.document)
    yield LearnedAnswer(chat_ml(prose_messages(kind, wish, schema)), draft)
    yield LearnedAnswer(chat_ml(document_messages(kind, wish, draft, schema)), document)
