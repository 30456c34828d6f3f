"""Random documents of a schema's grammar, held against the schema as it was written."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts.content.registry import CUSTOM, Registry
from infra.app import schema_worker
from infra.lab.bench import report
from infra.lab.bench.agreement import find_keywords, find_named, walk
from infra.lab.bench.limited import run_limited

if TYPE_CHECKING:
    from jsonschema import ValidationError
#: Bytes of a document.
_MOST: Final = 4000
#: What is counted of the documents.
_COUNTED: Final = ("unfinished", "valid", "format_alone", "caught", "missed", "false_alarms")
#: Invalid documents that are kept.
_KEPT: Final = 3


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of one schema."""

    #: Drawn; those that did not end, because they became too long or the grammar gave up.
    drawn: int = 0
    unfinished: int = 0
    #: The grammar exceeded its time or memory, or failed.
    failed: str = ""
    #: Complete ones that are valid under the schema as written, and those that only break a ``format``.
    valid: int = 0
    format_alone: int = 0
    #: Invalid ones that the product refuses too, and those that it takes.
    caught: int = 0
    missed: int = 0
    #: Valid ones that the product refuses.
    false_alarms: int = 0
    #: Keywords that invalid documents break and no warning names, with their number.
    silent: dict[str, int] = {}
    #: Invalid documents and false alarms, each with its reason.
    examples: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """No constraint was dropped without a warning, and the product takes no invalid document."""
        return not self.missed and not self.silent


def warm_up() -> None:
    """Import and build what every child needs."""
    _draw(b'{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}', (), 1, 0)


def draw_limited(text: bytes, warnings: Sequence[str], *, count: int, seed: int, cpu_s: float) -> Documents:
    """Draw documents in a process of its own.

    Args:
        text: the schema, as written.
        warnings: of its verdict.
        count: number of documents.
        seed: of the random walks.
        cpu_s: CPU seconds for all of them.
    """
    said = run_limited(
        partial(_draw, text, warnings, count, seed), cpu_s=cpu_s, memory=2 * schema_worker.MEMORY
    )
    if said is None:
        return Documents(failed=f"takes more than {cpu_s:g} s or 1 GB")
    return msgspec.json.decode(said, type=Documents)


def _draw(text: bytes, warnings: Sequence[str], count: int, seed: int) -> bytes:
    try:
        return msgspec.json.encode(_documents(json.loads(text), warnings, count, random.Random(seed)))  # noqa: S311
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - shown in the table
        return msgspec.json.encode(Documents(failed=repr(error)[:300]))


def _documents(schema: dict[str, Any], warnings: Sequence[str], count: int, rng: random.Random) -> Documents:
    from infra.engine.grammar_check import ByteGrammar  # noqa: PLC0415 - part of the extra

    grammar = ByteGrammar(schema)
    return check(schema, [walk(grammar, rng, most=_MOST) for _ in range(count)], warnings)


def check(schema: dict[str, Any], texts: Sequence[str | None], warnings: Sequence[str]) -> Documents:
    """Hold documents against a schema, by the rules of its own draft and by those of the product.

    Args:
        schema: as it was written.
        texts: the documents as JSON; ``None`` for each that did not end.
        warnings: of the schema's verdict.
    """
    plain, strict = _validator(schema, formats=False), _validator(schema, formats=True)
    product = Registry()
    named = find_named(warnings)
    numbers: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    examples: list[str] = []
    for text in texts:
        if text is None:
            numbers["unfinished"] += 1
            continue
        document = json.loads(text)
        broken: list[ValidationError] = list(plain.iter_errors(document))
        faults = product.faults(CUSTOM, document, schema)
        if broken:
            numbers["caught" if faults else "missed"] += 1
            silent.update({str(error.validator) for error in broken if not named & find_keywords(error)})
            examples.append(f"{broken[0].json_path} {broken[0].validator}: {text[:200]}")
            continue
        numbers["valid"] += 1
        numbers["format_alone"] += not strict.is_valid(document)
        if faults:
            numbers["false_alarms"] += 1
            examples.append(f"false alarm {faults[0]}: {text[:200]}")
    counted = {name: numbers[name] for name in _COUNTED}
    return msgspec.convert(
        {"drawn": len(texts), "silent": silent, "examples": examples[:_KEPT], **counted}, Documents
    )


def _validator(schema: Mapping[str, Any], *, formats: bool) -> Any:
    """The schema's own rules, by the draft that it names; nothing is fetched."""
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415 - as in the product
    from referencing import Registry as Resources  # noqa: PLC0415 - as above

    kind = validator_for(schema, default=Draft202012Validator)
    checker = kind.FORMAT_CHECKER if formats else None
    return kind(schema, registry=Resources(), format_checker=checker)


def is_valid_schema(schema: Mapping[str, Any]) -> bool:
    """Whether a schema keeps the rules of the draft that it names, or of 2020-12."""
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - as in the product
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415 - as above

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError:
        return False
    return True


def table(drawn: Sequence[Documents]) -> str:
    """Documents of all schemas as a table for people."""
    silent: Counter[str] = Counter()
    for each in drawn:
        silent.update(each.silent)
    complete = sum(each.drawn - each.unfinished for each in drawn)
    valid = sum(each.valid for each in drawn)
    rows = [
        (
            "schemas",
            "failed",
            "drawn",
            "complete",
            "valid",
            "share",
            "format",
            "caught",
            "missed",
            "false alarms",
        ),
        (
            str(len(drawn)),
            str(sum(bool(each.failed) for each in drawn)),
            str(sum(each.drawn for each in drawn)),
            str(complete),
            str(valid),
            f"{valid / complete:.1%}" if complete else "-",
            *(
                str(sum(getattr(each, name) for each in drawn))
                for name in ("format_alone", "caught", "missed", "false_alarms")
            ),
        ),
    ]
    named = ", ".join(f"{word} {count}" for word, count in silent.most_common()) or "none"
    return f"{report.columns(rows)}\nconstraints dropped without a warning: {named}"
