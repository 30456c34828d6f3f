"""Drafts: the words that a request names, and the draft that keeps most of them.

A small model leaves things out.  Its draft is compared with the words of the request, and it writes again while
one is missing.  This is a heuristic: the attempt says what happened, and no result depends on it for its validity.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice, pairwise
from typing import Final

import msgspec

from infra.engine.task import EngineError, EngineOutput, Task
from infra.engine.text import ANNOUNCES, NUMBERED, NUMBERS

_WORD: Final = re.compile(r"[^\W\d_]{2,}|\d+")
#: Words that say how things hang together, or ask, and name nothing.
_SAYS_NOTHING: Final = frozenset(
    _WORD.findall("""
about after all an and any are around as at be been before between both but by can concerning
could do does each for from had happens has have her his how if in into is it its let like make
makes me more most my of off on one only or other our out over please set should so some such than
that the their them then there these they this those through to too under until up us use was we
were what when where which while who whose will with would you your

add appear begin begins called characters contain containing contains content conversation create
decorated describe design dialogue duration ends enemies enemy exchange featuring feels fill
generate give goes guarded include includes including keep layout level line lines located long map
max maximum mood must name named need needs number once outline pacing pick place placed player plot
put rated rating record required scene seconds setting short show starts story strategy style talk
talks tell titled transition type want write
""")
)
_WORDS: Final = {str(number): word for number, word in enumerate(NUMBERS)}
_FIGURES: Final = {word: figure for figure, word in _WORDS.items()}
#: A word with all that underscores, hyphens and apostrophes join to it.
_JOINED: Final = re.compile(r"[^\W_]+(?:[_'-][^\W_]+)*")
#: A line that says how many things it lists.
_LISTS: Final = re.compile(rf"(?mi)^({'|'.join(NUMBERS)}) [^.:;\n]+:(.*)$")
_ASIDE: Final = re.compile(r" ?\([^()]*\)")
#: What is not wanted, up to the end of its clause; also as the name of a field (``must_not_appear``).
_UNWANTED: Final = re.compile(
    r"(?<![^\W_])(?:avoid\w*|without|except|never|not?|nothing|leave out|exclude)(?![^\W_])[^.;\n]*",
    re.IGNORECASE,
)
#: The name of a field at the beginning of a line or after a sign.
_LABEL: Final = re.compile(r"(?m)(?:^|(?<=[;,./]))[^\w;,./\n]{0,8}[^\W_]+(?:[ _-][^\W_]+){0,3}[ \t]{0,8}[:=]")
#: Fields that say how, not what.
_HOW: Final = re.compile(
    r"(?mi)(?:^|(?<=;))[^\w;\n]{0,8}(?:content rules|duration in seconds|enabled|fallback|generation ?type|intimacy|language|"
    r"purpose|rating|relationship|seed|strategy|template|tone|type|version)[ \t]{0,8}[:=][^;\n]*"
)
#: Words that are spelled out for a guide.
MOST_SPELLED: Final = 64
#: Between the seeds of two drafts: far from those that a stage tries next.
_STRIDE: Final = 0x9E3779B97F4A7C15


def named(wish: str) -> tuple[str, ...]:
    """The words of a request that name something it asks for, in lower case, each once."""
    words = (each.lower() for each in _WORD.findall(_wanted_part(wish)))
    return tuple(dict.fromkeys(each for each in words if each not in _SAYS_NOTHING))


def spelled(wish: str) -> tuple[tuple[str, ...], ...]:
    """The same words as a text may have them: joined as in the wish, in lower case, numbers in both ways.

    At most :data:`MOST_SPELLED`: a wish that is a story cannot be kept word by word.
    """
    names = set(named(wish))
    found = dict.fromkeys(
        each for each in _JOINED.findall(_wanted_part(wish)) if names & set(_WORD.findall(each.lower()))
    )
    return tuple(
        tuple(dict.fromkeys((each, each.lower(), _other_way(each.lower()) or each)))
        for each in islice(found, MOST_SPELLED)
    )


def missing(wanted: Iterable[str], text: str) -> tuple[str, ...]:
    """Which words a text does not have; a plural s does not matter, nor how a number is written."""
    there = {_stem(each.lower()) for each in _WORD.findall(text)}
    return tuple(each for each in wanted if _stem(each) not in there)


def miscounted(text: str) -> int:
    """How many lines of a text announce a number of things and another number is listed."""
    plain = _ASIDE.sub("", text)
    lists = [(word, rest.count(";") + 1) for word, rest in _LISTS.findall(plain)]
    lists += [(word, len(NUMBERED.findall(plain))) for word in ANNOUNCES.findall(plain)]
    return sum(NUMBERS.index(word.lower()) != number for word, number in lists)


def _wanted_part(wish: str) -> str:
    return _LABEL.sub(" ", _UNWANTED.sub(" ", _HOW.sub("", wish)))


def _other_way(word: str) -> str | None:
    return _WORDS.get(word) or _FIGURES.get(word)


def _stem(word: str) -> str:
    return _WORDS.get(word, word.removesuffix("s"))


def _apart(wish: str, text: str) -> int:
    """How many neighbours of a wish, such as two words of one name, a text does not have together."""
    names = set(map(_stem, named(wish)))
    there = _neighbours(text)
    return sum(pair not in there for pair in _neighbours(_wanted_part(wish)) if names.issuperset(pair))


def _neighbours(text: str) -> set[tuple[str, str]]:
    text = text.lower()
    return {
        (_stem(one[0]), _stem(two[0]))
        for one, two in pairwise(_WORD.finditer(text))
        if text[one.end() : two.start()] in {" ", "_", "-"}
    }


async def best(
    write: Callable[[Task], Awaitable[EngineOutput]],
    task: Task,
    first: EngineOutput,
    *,
    wish: str,
    drafts: int,
    within_s: float,
) -> tuple[EngineOutput, str]:
    """The draft that lacks least of the wish: the first that has everything, else one of several.

    Each time as many are written as there are, at once.

    Args:
        write: has a task written.
        task: what the first draft was written for.
        first: the first draft.
        wish: what was asked for.
        drafts: how many there may be.
        within_s: seconds for all of them, the first included.

    Returns:
        the draft with the tokens of all of them, and how it was found for the attempt's ``why``.
    """
    wanted = named(wish)

    def lacks(draft: EngineOutput) -> int:
        return len(missing(wanted, draft.text)) + miscounted(draft.text)

    async def another(number: int, left_s: float) -> EngineOutput | None:
        seed = (task.seed + number * _STRIDE) % 2**63
        # A nat more each time.
        again = msgspec.structs.replace(
            task, seed=seed, timeout_s=left_s, insistence=float(number.bit_length())
        )
        try:
            return await write(again)
        except EngineError:
            # There is a draft already.
            return None

    written, asked, total_s = [first], 1, first.total_s
    while asked < drafts and all(map(lacks, written)) and (left_s := within_s - total_s) > 0:
        numbers = range(asked, min(2 * asked, drafts))
        found = await asyncio.gather(*(another(number, left_s) for number in numbers))
        asked += len(numbers)
        if not (more := [each for each in found if each is not None]):
            break
        written += more
        total_s += max(each.total_s for each in more)
    if asked == 1:
        return first, ""
    chosen = min(
        written,
        key=lambda each: (each.finish_reason == "length", lacks(each), _apart(wish, each.text)),
    )
    counted = msgspec.structs.replace(
        chosen,
        prompt_tokens=sum(each.prompt_tokens for each in written),
        completion_tokens=sum(each.completion_tokens for each in written),
        total_s=total_s,
        # Whether all were written in time depends on what else was.
        strict=chosen.strict and len(written) == asked,
    )
    kept = len(wanted) - len(missing(wanted, chosen.text))
    return counted, f"best of {len(written)}: {kept} of {len(wanted)} words of the wish"
