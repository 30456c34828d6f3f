"""Coverage of JSON Schemas from public projects: which ones intake accepts, and why it refuses the others.

The schemas themselves are not part of this project.  ``wild_schemas.tsv`` names each of them: repository, commit,
path and SHA-256; a path with ``#`` is a part of a file, as JSON of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import msgspec

from contracts.content import custom
from contracts.content.verdict import Verdict
from infra.app import schema_worker
from infra.lab.bench import report, wild_documents
from infra.lab.bench.limited import run_limited
from infra.lab.bench.trial import Say
from infra.lab.bench.wild_documents import Documents

#: The list of the schemas.
LIST: Final = Path(__file__).with_name("wild_schemas.tsv")
#: Outcomes.  Those of a schema that nobody could follow alone: it refers to another document, is larger than a
#: request's schema may be, or breaks the rules of its own draft.
ACCEPTED: Final = "accepted"
OUTSIDE: Final = "refused: refers to another document"
TOO_LARGE: Final = "refused: above the size limit"
INVALID: Final = "refused: invalid under its own draft"
LIMIT: Final = "refused: exceeds time or memory"
REFUSED: Final = "refused: other"
DEFECT: Final = "defect"

#: Examples of each reason.
_EXAMPLES: Final = 3
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER: Final = re.compile(r"\d+")
_GRAMMAR: Final = "constrained decoding does not support it: "


class WildSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list."""

    #: Below the folder: ``project/name.json``.
    file: str
    repository: str
    commit: str
    #: In the repository; after ``#`` the part of the file.
    path: str
    sha256: str
    bytes: int
    #: ``draft-04`` … ``2020-12``, ``none`` without ``$schema``, ``other`` for everything else.
    dialect: str

    @property
    def project(self) -> str:
        """The folder that it lies in."""
        return self.file.partition("/")[0]


class WildVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What intake says of one schema."""

    schema: WildSchema
    #: :data:`ACCEPTED` or the class of its refusal.
    outcome: str
    refusal: str | None = None
    warnings: tuple[str, ...] = ()
    #: Documents from the grammar, if they were drawn.
    documents: Documents | None = None


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A reason of refusals, without paths and values."""

    text: str
    count: int
    #: ``file: refusal`` of the first ones.
    examples: tuple[str, ...]


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run."""

    verdicts: tuple[WildVerdict, ...]
    reasons: tuple[Reason, ...]
    #: Files of the list that the folder lacks, or that differ from it.
    absent: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """The folder is the list, nothing crashed, and no constraint was dropped without a warning."""
        clean = all(
            each.outcome != DEFECT and (each.documents is None or each.documents.clean)
            for each in self.verdicts
        )
        return clean and not self.absent and not self.changed


def read_list(path: Path = LIST) -> tuple[WildSchema, ...]:
    """The schemas of the list.

    Raises:
        ValueError: a line has not as many columns as its head.
    """
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    names = head.split("\t")
    rows = (dict(zip(names, line.split("\t"), strict=True)) for line in lines)
    return tuple(msgspec.convert(row, WildSchema, strict=False) for row in rows)


def run(
    folder: Path,
    *,
    listed: Sequence[WildSchema],
    cpu_s: float,
    documents: int,
    seed: int,
    say: Say = lambda _: None,
) -> Coverage:
    """Ask intake about every schema of the list.

    Args:
        folder: of the schemas.
        listed: the schemas.
        cpu_s: CPU seconds for each verdict, and ten times as many for its documents.
        documents: number to draw from the grammar of each accepted schema.
        seed: of the documents.
        say: told what is being done.
    """
    found: list[WildVerdict] = []
    absent: list[str] = []
    changed: list[str] = []
    # The children share what is imported before them.
    _verdict(b'{"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}}')
    if documents:
        wild_documents.warm_up()
    for number, schema in enumerate(listed):
        path = folder / schema.file
        if not path.is_file():
            absent.append(schema.file)
            continue
        text = path.read_bytes()
        if hashlib.sha256(text).hexdigest() != schema.sha256:
            changed.append(schema.file)
            continue
        one = _judge(schema, text, cpu_s)
        if documents and one.outcome == ACCEPTED:
            drawn = wild_documents.draw_limited(
                text, one.warnings, count=documents, seed=seed + number, cpu_s=10 * cpu_s
            )
            one = msgspec.structs.replace(one, documents=drawn)
        found.append(one)
        if number % 50 == 49:  # noqa: PLR2004 - now and then
            say(f"{number + 1} of {len(listed)}: {sum(each.outcome == ACCEPTED for each in found)} accepted")
    return Coverage(verdicts=tuple(found), reasons=group(found), absent=tuple(absent), changed=tuple(changed))


def _judge(schema: WildSchema, text: bytes, cpu_s: float) -> WildVerdict:
    said = run_limited(partial(_verdict, text), cpu_s=cpu_s, memory=schema_worker.MEMORY)
    if said is None:
        return WildVerdict(schema=schema, outcome=LIMIT, refusal=f"takes more than {cpu_s:g} s or 512 MB")
    if said.startswith(schema_worker.DEFECT):
        return WildVerdict(schema=schema, outcome=DEFECT, refusal=said[1:].decode("utf-8", "replace"))
    verdict = msgspec.json.decode(said, type=Verdict)
    outcome = ACCEPTED
    if verdict.refusal is not None:
        own = run_limited(partial(_classify, text), cpu_s=10 * cpu_s, memory=schema_worker.MEMORY)
        outcome = REFUSED if own is None else own.decode()
    return WildVerdict(schema=schema, outcome=outcome, refusal=verdict.refusal, warnings=verdict.warnings)


def _verdict(text: bytes) -> bytes:
    try:
        job = schema_worker.Job(do="verdict", schema=text, grammar=True)
        return msgspec.json.encode(schema_worker.answer(job).verdict)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - shown in the table
        return schema_worker.DEFECT + repr(error)[:500].encode("utf-8", "replace")


def _classify(text: bytes) -> bytes:
    return classify(json.loads(text)).encode()


def classify(schema: dict[str, Any]) -> str:
    """The class of a refused schema, whatever the refusal says."""
    if len(msgspec.json.encode(schema)) > custom.MAX_BYTES:
        return TOO_LARGE
    if not wild_documents.is_valid_schema(schema):
        return INVALID
    own = {urljoin(_address(schema), _address(each)).partition("#")[0] for each in _objects(schema)}
    references = [each["$ref"] for each in _objects(schema) if isinstance(each.get("$ref"), str)]
    outside = any(urljoin(_address(schema), each).partition("#")[0] not in own for each in references)
    return OUTSIDE if outside else REFUSED


def _address(schema: dict[str, Any]) -> str:
    named = schema.get("$id", schema.get("id", ""))
    return named if isinstance(named, str) else ""


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects of a JSON value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def group(found: Sequence[WildVerdict]) -> tuple[Reason, ...]:
    """The reasons of refusals, most frequent first."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for each in found:
        if each.refusal is not None:
            groups[strip(each.refusal)].append(f"{each.schema.file}: {each.refusal[:300]}")
    return tuple(
        Reason(text=text, count=len(all_of), examples=tuple(all_of[:_EXAMPLES]))
        for text, all_of in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    )


def strip(refusal: str) -> str:
    """A refusal without its path, its values and its numbers; the keyword at the path's end stays."""
    grammar = refusal.startswith(_GRAMMAR)
    place, _, text = refusal.removeprefix(_GRAMMAR).partition(": ")
    keyword = re.split(r"[./\[\]]", place.rstrip("]"))[-1]
    if not re.fullmatch(r"\$?[A-Za-z]+", keyword):
        keyword = "…"
    text = _NUMBER.sub("N", _QUOTED.sub("'…'", text))
    return f"{'grammar: ' if grammar else ''}{keyword}: {text[:160]}"


def table(found: Coverage) -> str:
    """A run as tables for people."""
    parts = [
        _shares(found.verdicts, "dialect", lambda each: each.schema.dialect),
        _shares(found.verdicts, "project", lambda each: each.schema.project),
        report.columns([("count", "reason"), *((str(each.count), each.text) for each in found.reasons)]),
    ]
    drawn = [each.documents for each in found.verdicts if each.documents is not None]
    if drawn:
        parts.append(wild_documents.table(drawn))
    parts += [f"absent: {each}" for each in found.absent]
    parts += [f"changed: {each}" for each in found.changed]
    return "\n\n".join(parts) + "\n"


def _shares(verdicts: Sequence[WildVerdict], head: str, key: Callable[[WildVerdict], Any]) -> str:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in verdicts:
        counts[key(each)][each.outcome] += 1
        counts["all"][each.outcome] += 1
    rows: list[tuple[str, ...]] = [
        (
            head,
            "schemas",
            "accepted",
            "share",
            "share of own",
            "outside",
            "too large",
            "invalid",
            "limit",
            "other",
            "defect",
        )
    ]
    for name in [*sorted(name for name in counts if name != "all"), "all"]:
        one = counts[name]
        own = one.total() - one[OUTSIDE] - one[TOO_LARGE] - one[INVALID]
        rows.append(
            (
                name,
                str(one.total()),
                str(one[ACCEPTED]),
                f"{one[ACCEPTED] / one.total():.0%}",
                f"{one[ACCEPTED] / own:.0%}" if own else "-",
                *(str(one[each]) for each in (OUTSIDE, TOO_LARGE, INVALID, LIMIT, REFUSED, DEFECT)),
            )
        )
    return report.columns(rows)
