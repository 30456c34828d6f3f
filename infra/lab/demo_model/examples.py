"""Examples of the demo's model: hand-written wishes with their prose, document and expectations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from infra.lab.demo_model.expectations import Expectation
from infra.providers.tuned import chat_ml, document_messages, prose_messages

DATA: Final = Path(__file__).parent / "data"
KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish and what was written for it; a wish of the gate has neither prose nor document."""

    kind: Literal["layout", "plot", "scene", "dialogue", "transition", "custom"]
    topic: str
    wish: str
    expect: tuple[Expectation, ...]
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
    """What the model learns from an example: the prose from the wish, and the document from both."""
    if example.document is None:
        return
    document = json.dumps(example.document, ensure_ascii=False, separators=(",", ":"))
    wish, kind, schema = example.wish, example.kind, example.schema
    yield LearnedAnswer(chat_ml(prose_messages(kind, wish, schema)), example.prose)
    yield LearnedAnswer(chat_ml(document_messages(kind, wish, example.prose, schema)), document)
