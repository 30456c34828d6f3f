"""Which of some drafts keeps most of what a wish names?

A small model leaves things out.  What it wrote is compared with the words of the wish, and it writes
again while one is missing: a heuristic, told in the attempt, that no result depends on for its validity.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from infra.engine.task import Answer, EngineError, Task

_WORD: Final = re.compile(r"[^\W\d_]{2,}|\d+")
#: Words that say how things hang together, or ask, and name nothing.
_SAYS_NOTHING: Final = frozenset(
    _WORD.findall("""
about after all an and any are around as at be been before between both but by can concerning
could do does each for from had happens has have her his how if in into is it its let like make
makes me more most my of off on one only or other our out over please set should so some such than
that the their them then there these they this those through to too under until up us use was we
were what when where which while who whose will with would you your

add begin begins called characters contain containing contains content conversation create
decorated describe design dialogue duration ends exchange featuring feels fill generate give goes
include includes including keep layout level line lines located long map max maximum mood must name
named need needs number once outline pacing pick place placed player plot put rated rating record
required scene seconds setting short show starts story strategy style talk talks tell titled
transition type want write
""")
)
_NUMBERS: Final = {
    str(number): word
    for number, word in enumerate(
        _WORD.findall("zero one two three four five six seven eight nine ten eleven twelve")
    )
}
#: What is not wanted, up to the end of its clause.
_UNWANTED: Final = re.compile(
    r"\b(?:avoid(?:ing)?|without|except|never|not?|nothing|leave out|exclude)\b[^.;\n]*", re.IGNORECASE
)
#: The name of a field at the beginning of a line or after a semicolon.
_LABEL: Final = re.compile(r"(?m)(?:^|(?<=;))\W*\w+(?:[ _-]\w+){0,3}\s*[:=]")
#: Lines that stages put below a wish and that say how, not what.
_HOW: Final = re.compile(r"(?m)^(?:content rules|duration in seconds|intimacy|rating|relationship|tone):.*$")
#: Between the seeds of two drafts: far from those that a stage tries next.
_STRIDE: Final = 0x9E3779B97F4A7C15


def named(wish: str) -> tuple[str, ...]:
    """The words of a wish that name something wanted, in lower case, each once."""
    wanted = _LABEL.sub(" ", _UNWANTED.sub(" ", _HOW.sub("", wish)))
    words = (each.lower() for each in _WORD.findall(wanted))
    return tuple(dict.fromkeys(each for each in words if each not in _SAYS_NOTHING))


def missing(wanted: Iterable[str], text: str) -> tuple[str, ...]:
    """Which words a text does not have; a plural s does not matter, nor how a number is written."""
    there = {_stem(each.lower()) for each in _WORD.findall(text)}
    return tuple(each for each in wanted if _stem(each) not in there)


def _stem(word: str) -> str:
    return _NUMBERS.get(word, word.removesuffix("s"))


async def best(
    write: Callable[[Task], Awaitable[Answer]], task: Task, first: Answer, *, wish: str, drafts: int
) -> tuple[Answer, str]:
    """The draft that has most words of the wish: the first if none is missing, else one of several.

    Args:
        write: has a task written.
        task: what the first draft was written for.
        first: the first draft.
        wish: what was asked for.
        drafts: how many there may be.

    Returns:
        the draft with the tokens of all of them, and how it was found for the attempt's ``why``.
    """
    wanted = named(wish)
    left_s = task.timeout_s - first.total_s
    if not missing(wanted, first.text) or left_s <= 0:
        return first, ""

    async def another(number: int) -> Answer | None:
        seed = (task.seed + number * _STRIDE) % 2**63
        try:
            return await write(msgspec.structs.replace(task, seed=seed, timeout_s=left_s))
        except EngineError:
            # There is a draft already.
            return None

    others = await asyncio.gather(*(another(number) for number in range(1, drafts)))
    written = [first, *(each for each in others if each is not None)]
    chosen = max(written, key=lambda each: (each.finish_reason != "length", -len(missing(wanted, each.text))))
    counted = msgspec.structs.replace(
        chosen,
        prompt_tokens=sum(each.prompt_tokens for each in written),
        completion_tokens=sum(each.completion_tokens for each in written),
        total_s=first.total_s + max((each.total_s for each in written[1:]), default=0.0),
        # Whether all were written in time depends on what else was.
        strict=chosen.strict and len(written) == drafts,
    )
    kept = len(wanted) - len(missing(wanted, chosen.text))
    return counted, f"best of {len(written)}: {kept} of {len(wanted)} words of the wish"
