"""Which rules could somebody write?"""

from __future__ import annotations

import re

from hypothesis import strategies as st

from contracts.nodes.rules import tree

#: The example of docs/rules.md.
EXAMPLE = """\
IF player_choice.quest_accept == true
  THEN moodTo = "determined" pacing = "fast"
ELSE
  THEN moodTo = "reflective" pacing = "slow"
INCLUDE callback_to_scene("kiss")
DURATION 20-40s TARGET 30s
CONSTRAINT rating=PG-13 AVOID violence
"""

#: Texts of every form, to be taken apart and put together again.
TEXTS = (
    EXAMPLE,
    "IF a THEN x = 1 ELSE y = 2",
    "IF a\n  THEN IF b\n         THEN x = 1\n       ELSE\n         THEN x = 2\nELSE\n  THEN x = 3",
    "IF a\nTHEN x = 1\nELSE\nTHEN x = 2\nINCLUDE x",
    "IF a AND\n   NOT b\n   OR c\n  THEN x = 1\n       y = 2\n  z = 3",
    "IF a\n  IF b\n    x = 1 # c\n  # tail\n# before else\nELSE IF c # ce\n  y = 2\nELSE # el\n  THEN\n    z=3 # zz",
    "AVOID [a,\n  b, # in\n c] # after\nPACING fast MOOD x TO y MOOD TO z STYLE pacing=slow",
    "IF NOT (a OR b.c) AND c NOT IN [1, 'x', true] THEN x = 1\nDURATION 500ms-1.5m TARGET 3s\nRULE 'a\\n', b",
    '\n\n\tIF social.trust >= -1.5e3\n\t\tTHEN INCLUDE f(1, true, "\\u00e9\\"")\n\tELSE\n\t\tPACING slow',
)

_RESERVED = {"if", "then", "else", "and", "or", "not", "in", "true", "false"}
_WORDS = st.from_regex(r"[a-zA-Z_é][a-zA-Z0-9_-]{0,10}", fullmatch=True).filter(
    lambda word: word.lower() not in _RESERVED
) | st.sampled_from(["avoid", "PACING", "duration", "target", "to", "style"])
_NAMES = st.builds(
    ".".join, st.tuples(_WORDS) | st.tuples(_WORDS, st.from_regex(r"[\w-]{1,6}", fullmatch=True))
)
_QUOTED = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_COMMENT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=20).map(
    str.strip
)
_NUMBERS = st.integers(-(10**14), 10**14) | st.floats(allow_nan=False, allow_infinity=False)
_SCALARS = st.booleans() | _NUMBERS | _QUOTED | _WORDS
_SECONDS = st.integers(0, 10**6) | st.integers(1, 10**6).map(lambda ms: _plain(ms / 1000))
_AT = st.just(tree.At(line=1, column=1))


def _plain(seconds: float) -> float:
    return int(seconds) if seconds.is_integer() else seconds


def _made(kind, **fields):
    return st.builds(kind, at=_AT, **fields)


def _some(what, least=1):
    return st.lists(what, min_size=least, max_size=3).map(tuple)


_OPERANDS = _made(tree.Name, path=_NAMES) | _made(tree.Literal, value=_SCALARS | _some(_SCALARS, 0))
_ATOMS = (
    _made(tree.Name, path=_NAMES)
    | _made(tree.Literal, value=st.booleans())
    | _made(tree.Compare, left=_OPERANDS, operator=st.sampled_from(tree.Operator), right=_OPERANDS)
)


def _joined(kind, conditions):
    """AND within AND is one list."""
    parts = conditions.filter(lambda each: not isinstance(each, kind))
    return _made(kind, conditions=st.lists(parts, min_size=2, max_size=3).map(tuple))


CONDITIONS = st.recursive(
    _ATOMS,
    lambda inner: _made(tree.Not, condition=inner) | _joined(tree.All, inner) | _joined(tree.Either, inner),
    max_leaves=5,
)

_PAIRS = _made(tree.Pair, name=_NAMES, value=_SCALARS, value_at=_AT)
_ITEMS = _made(tree.Term, text=_QUOTED | _WORDS) | _made(tree.Term, text=_WORDS, arguments=_some(_SCALARS, 0))
_SAID = {"until": _AT, "comments": _some(_COMMENT, 0), "remark": st.none() | _COMMENT}
_DURATIONS = _made(
    tree.DurationClause, low=_SECONDS, high=_SECONDS, target=st.none() | _SECONDS, **_SAID
) | _made(tree.DurationClause, target=_SECONDS, **_SAID)
_SIMPLE = (
    _made(tree.Set, pairs=_some(_PAIRS), **_SAID)
    | _made(tree.Constraint, pairs=_some(_PAIRS), avoid=_some(_ITEMS, 0), **_SAID)
    | st.sampled_from([tree.Include, tree.Avoid, tree.RuleClause]).flatmap(
        lambda kind: _made(kind, items=_some(_ITEMS), **_SAID)
    )
    | _DURATIONS
)


def _choices(inner):
    body = {"body": _some(inner), "comments": _SAID["comments"], "remark": _SAID["remark"]}
    tested = _made(tree.Branch, condition=CONDITIONS, **body)
    rest = st.just(()) | st.tuples(_made(tree.Branch, condition=st.none(), **body))
    branches = st.builds(lambda some, last: (*some, *last), _some(tested), rest)
    return _made(tree.Conditional, branches=branches, until=_AT)


RULES = st.builds(
    tree.Rules,
    statements=_some(st.recursive(_SIMPLE, _choices, max_leaves=6), 0),
    comments=_some(_COMMENT, 0),
)


@st.composite
def mutated(draw) -> str:
    """A valid text with pieces of it taken out, doubled, moved or replaced."""
    text = draw(st.sampled_from(TEXTS))
    pieces = re.findall(r"\w+|\n[ \t]*|\s|.", text)
    more = [
        *pieces,
        '"',
        "\\",
        "\x00",
        "\u00a0",
        "(",
        "[",
        "]",
        "IF",
        "ELSE",
        "\n",
        "\t",
        "#",
        "é",
        "-",
        "\ud800",
    ]
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(pieces) - 1)))
        width = draw(st.integers(0, 3))
        pieces[at : at + width] = draw(st.lists(st.sampled_from(more), max_size=3))
    return "".join(pieces)
