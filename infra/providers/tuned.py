"""Messages for a model that was tuned on this pipeline's two tasks: short instructions without a schema.

A tuned model knows the five kinds, so nothing but the wish and the draft is sent; a request's own schema is sketched.
Training (:mod:`infra.lab.demo_model`) and inference build their messages here, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contracts.content.sketch import sketch

Messages = list[dict[str, str]]
_CUSTOM: Final = "custom"
#: Of drafts, where neither the request nor a setting chose one: a small model loses its thread above.
TEMPERATURE: Final = 0.2


def prose_messages(kind: str, wish: str, schema: Mapping[str, Any] | None = None) -> Messages:
    """What the writing stage sends.

    A model this small loses what a paragraph says between two clauses, so it plans the built-in kinds in notes.

    Args:
        kind: content kind.
        wish: the request's words, and the lines below them.
        schema: a request's own.
    """
    asked = "Name everything that the wish asks for"
    if kind == _CUSTOM:
        return _chat(f"Write what the fields need in plain prose. {asked}.", wish, schema)
    return _chat(f"Plan the {kind} in short notes. {asked}, with its number.", wish, schema)


def document_messages(kind: str, wish: str, draft: str, schema: Mapping[str, Any] | None = None) -> Messages:
    """What the structuring stage sends.

    Args:
        kind: content kind.
        wish: the request's words.
        draft: the prose.
        schema: a request's own.
    """
    return _chat(f"Write the {kind} of the draft as JSON.", f"Wish: {wish}\nDraft: {draft}", schema)


def _chat(task: str, text: str, schema: Mapping[str, Any] | None) -> Messages:
    fields = "" if schema is None else f"Fields: {sketch(schema)}\n"
    return [{"role": "system", "content": task}, {"role": "user", "content": f"{fields}{text}"}]


def chat_ml(messages: Messages) -> str:
    """Messages in the form of ChatML, up to the beginning of the answer."""
    turns = "".join(f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in messages)
    return f"{turns}<|im_start|>assistant\n"
