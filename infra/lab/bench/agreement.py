"""Agreement of grammar and validator on random documents of random schemas.

Documents are random walks through a schema's grammar, and changed copies of these.  Each one that the grammar takes
must be valid to the product's validator and to the standard's library, but for keywords that a warning names.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from contracts.content.registry import CUSTOM, Registry
from infra.lab.bench import random_schemas, report
from infra.lab.bench.trial import Say

if TYPE_CHECKING:
    from infra.engine.grammar_check import ByteGrammar

#: Walks of a schema, and changed copies of each document.
_WALKS: Final = 5
_COPIES: Final = 3
#: Bytes of a document.
_MOST: Final = 1500
#: Bytes that end something; the share of the steps that take one grows with the document.
_ENDS: Final = frozenset(b'"}]')
_EXAMPLES: Final = 10
#: Keywords that the library counts otherwise: with binary fractions, and with Python's regular expressions.
_OTHERWISE: Final = frozenset({"multipleOf"})
#: Values that take the place of others.
_OTHERS: Final = (0, 1, -7, 2.5, "", "a", "2024-02-30", "ab1", None, True, [], [1, 1], {}, {"a": 1})


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run."""

    schemas: int = 0
    #: Schemas that intake refuses.
    refused: int = 0
    #: Documents that were held against grammar and validator, and those of them that the grammar takes.
    documents: int = 0
    taken: int = 0
    #: Taken ones that break a keyword that a warning names.
    warned: int = 0
    #: Taken ones that the product's validator refuses, and that the standard's library refuses, without a warning.
    refused_documents: int = 0
    invalid: int = 0
    #: Walks that did not end in time.
    unfinished: int = 0
    #: Schema's seed, document and fault of the first disagreements.
    examples: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No document of a grammar breaks a keyword that no warning names."""
        return not self.refused_documents and not self.invalid


def run(documents: int, *, seed: int, say: Say = lambda _: None) -> Agreement:
    """Hold random documents against grammar and validator.

    Args:
        documents: number of documents, at least.
        seed: of the first schema; each one has the next.
        say: told what is being done.
    """
    counts: Counter[str] = Counter()
    examples: list[str] = []
    while counts["documents"] < documents:
        judge(seed + counts["schemas"], counts, examples)
        if counts["schemas"] % 500 == 0:
            say(f"{counts['documents']} of {documents} documents")
    return Agreement(**counts, examples=tuple(examples[:_EXAMPLES]))


def judge(seed: int, counts: Counter[str], examples: list[str]) -> None:
    """Draw a schema and documents, and count what becomes of them.

    Args:
        seed: of both.
        counts: numbers by the names of :class:`Agreement`'s fields.
        examples: gets a line for each disagreement.
    """
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - as in the product

    from infra.engine.grammar import check  # noqa: PLC0415 - part of the extra
    from infra.engine.grammar_check import ByteGrammar  # noqa: PLC0415 - as above

    rng = random.Random(seed)  # noqa: S311 - no secret
    schema = random_schemas.draw(rng)
    counts["schemas"] += 1
    verdict = Registry(refuses=check).verdict(schema)
    if verdict.refusal is not None:
        counts["refused"] += 1
        return
    standard, product, grammar = Draft202012Validator(schema), Registry(), ByteGrammar(schema)
    named = find_named(verdict.warnings)
    for document, walked in _documents(grammar, rng, counts):
        counts["documents"] += 1
        if not walked and not grammar.accepts(
            json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        ):
            continue
        counts["taken"] += 1
        broken = [error for error in standard.iter_errors(document) if error.validator not in _OTHERWISE]
        faults = product.faults(CUSTOM, document, schema)
        unnamed = [error for error in broken if not named & find_keywords(error)]
        if len(unnamed) < len(broken):
            # What a failed alternative would have evaluated is not evaluated.
            unnamed = [error for error in unnamed if not str(error.validator).startswith("unevaluated")]
        if unnamed:
            counts["invalid"] += 1
            examples.append(
                f"{seed}: {json.dumps(document)[:200]}: {unnamed[0].json_path} {unnamed[0].message[:200]}"
            )
        elif faults and not broken and not named:
            counts["refused_documents"] += 1
            examples.append(f"{seed}: {json.dumps(document)[:200]}: {faults[0]}")
        elif broken or faults:
            counts["warned"] += 1


def _documents(grammar: ByteGrammar, rng: random.Random, counts: Counter[str]) -> Iterator[tuple[Any, bool]]:
    """Documents; whether each one is a walk through the grammar."""
    for _ in range(_WALKS):
        text = walk(grammar, rng)
        if text is None:
            counts["unfinished"] += 1
            continue
        document = json.loads(text)
        yield document, True
        for _ in range(_COPIES):
            yield change(document, rng), False


def walk(grammar: ByteGrammar, rng: random.Random, *, most: int = _MOST) -> str | None:
    """A random document of a grammar; ``None`` where it becomes too long.

    Args:
        grammar: of a schema.
        rng: decides every byte.
        most: bytes of the document.
    """
    matcher = grammar.start()
    said = bytearray()
    while len(said) < most:
        allowed, may_end = grammar.allowed(matcher)
        if may_end and (not allowed or rng.random() < 0.5):  # noqa: PLR2004 - half of them
            return said.decode()
        if not allowed:
            return None
        ending = [each for each in allowed if each in _ENDS]
        plain = [each for each in allowed if 32 <= each < 127]  # noqa: PLR2004 - ASCII
        if ending and rng.random() < 0.3 + len(said) / most:
            byte = rng.choice(ending)
        else:
            byte = rng.choice(plain or allowed)
        said.append(byte)
        matcher.consume_token(byte)
    return None


def change(document: Any, rng: random.Random) -> Any:
    """A copy of a document with one value replaced, left out or added.

    Args:
        document: any JSON value.
        rng: decides which one.
    """
    if isinstance(document, dict) and document and rng.random() < 0.85:  # noqa: PLR2004 - most of them
        fields = dict(cast("dict[str, Any]", document))
        name = rng.choice(list(fields))
        match rng.randrange(5):
            case 0:
                del fields[name]
            case 1:
                fields[rng.choice(("a", "b", "zz"))] = rng.choice(_OTHERS)
            case _:
                fields[name] = change(fields[name], rng)
        return fields
    if isinstance(document, list) and document and rng.random() < 0.85:  # noqa: PLR2004 - most of them
        items = list(cast("list[Any]", document))
        index = rng.randrange(len(items))
        match rng.randrange(4):
            case 0:
                del items[index]
            case 1:
                items.append(items[index])
            case _:
                items[index] = change(items[index], rng)
        return items
    return rng.choice(_OTHERS)


def find_named(warnings: Sequence[str]) -> set[str]:
    """The keywords that warnings name as left out of the grammar; with ``if``, also its branches.

    Args:
        warnings: of a verdict.
    """
    from infra.engine.grammar_schema import AFTERWARDS  # noqa: PLC0415 - part of the extra

    named = {line.partition(": ")[0].rpartition(".")[2] for line in warnings if line.endswith(AFTERWARDS)}
    for line in warnings:
        _, found, more = line.partition(" checked after writing: ")
        named |= set(more.split(", ")) if found else set()
    return named | ({"then", "else"} if "if" in named else set())


def find_keywords(error: Any) -> set[str]:
    """The keywords on the way to an error, and to those inside of it.

    Args:
        error: of the library ``jsonschema``.
    """
    found = {str(part) for part in error.absolute_schema_path}
    return found.union(*(find_keywords(each) for each in error.context or ()))


def table(found: Agreement) -> str:
    """A run as a table for people."""
    names = [name for name in Agreement.__struct_fields__ if name != "examples"]
    rows = [
        tuple(name.replace("_", " ") for name in names),
        tuple(str(getattr(found, name)) for name in names),
    ]
    return "\n".join((report.columns(rows), *found.examples)) + "\n"
