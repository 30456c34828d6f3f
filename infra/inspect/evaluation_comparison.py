"""Comparison of two evaluation runs: measure by measure with its uncertainty, and case by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from infra.inspect import evaluation_math as math
from infra.inspect.evaluation_math import Pairs, Statistic
from infra.inspect.evaluation_scores import MEASURED
from infra.inspect.experiment_math import Interval
from infra.stores.evaluations import CaseResult, EvaluationRun, StoredRun

#: Probability that a comparison of two runs of an unchanged pipeline calls any measure worse.
ERROR: Final = 0.05
#: Share of it that validity has; the other measures share the rest.
_OF_VALID: Final = 0.5
#: Cases in both runs below which a measure has no verdict; a 95th percentile needs twice as many.
LEAST_CASES: Final = 10
#: Share of the earlier figure within which latency, tokens and cost count as unchanged.
TOLERANCE: Final = 0.1
#: Changes of a case's quality and judgement that are listed.
_QUALITY_STEP: Final = 0.1
_JUDGE_STEP: Final = 0.5
_EPSILON: Final = 1e-9

MeasureVerdict = Literal["worse", "better", "no_difference", "not_enough"]


class _Measure(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    #: Of :data:`MEASURED`.
    of: str
    more: bool = True
    rate: bool = False
    statistic: Statistic = math.mean
    #: What the test compares instead: swaps hardly move a median, so the mean of the logarithms tells better.
    tested: Statistic | None = None
    tolerance: float = 0.0
    least: int = LEAST_CASES


_MEASURES: Final = (
    _Measure(name="valid", of="valid", rate=True),
    _Measure(name="facts", of="facts"),
    _Measure(name="avoid", of="avoid", rate=True),
    _Measure(name="in_time", of="in_time", rate=True),
    _Measure(name="quality", of="quality"),
    _Measure(name="judge", of="judge"),
    _Measure(
        name="p50_ms",
        of="latency",
        more=False,
        statistic=math.percentile_of(0.5),
        tested=math.log_mean,
        tolerance=TOLERANCE,
    ),
    _Measure(
        name="p95_ms",
        of="latency",
        more=False,
        statistic=math.percentile_of(0.95),
        tolerance=TOLERANCE,
        least=2 * LEAST_CASES,
    ),
    _Measure(name="tokens", of="tokens", more=False, tolerance=TOLERANCE),
    _Measure(name="cost", of="cost", more=False, tolerance=TOLERANCE),
)


class MeasureComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of two runs, over the results that have it in both."""

    name: str
    #: Cases and pairs of results.
    cases: int
    pairs: int
    before: float
    after: float
    #: Later less earlier; the interval misses with probability :attr:`error`. ``None``: too few cases.
    difference: Interval | None = None
    error: float | None = None
    #: Probability, if nothing has changed, of a difference at least as large in its direction; ``None``: the interval
    #: says already that none is shown.
    p: float | None = None
    verdict: MeasureVerdict


class CaseChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became worse and better about one case, one line each."""

    case: str
    kind: str
    worse: tuple[str, ...]
    better: tuple[str, ...]


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs of a set."""

    before: EvaluationRun
    after: EvaluationRun
    #: The verdict in words.
    sentence: str
    #: Probability that an unchanged pipeline is called worse.
    error: float
    #: Cases that both runs have, and those that only one has or that ask or expect something else.
    compared: int
    left_out: tuple[str, ...]
    measures: tuple[MeasureComparison, ...]
    cases: tuple[CaseChange, ...]
    #: What else differs between the runs: versions, settings, writers; one line each.
    beside: tuple[str, ...]

    @property
    def regressed(self) -> tuple[str, ...]:
        """Measures that are worse."""
        return tuple(each.name for each in self.measures if each.verdict == "worse")

    @property
    def improved(self) -> tuple[str, ...]:
        """Measures that are better."""
        return tuple(each.name for each in self.measures if each.verdict == "better")


_Paired = dict[str, list[tuple[CaseResult, CaseResult]]]


def compare_runs(before: StoredRun, after: StoredRun) -> RunComparison:
    """Compare two runs, paired by case and repeat; the same runs give the same comparison."""
    paired, left_out = _pair(before, after)
    found = [(each, _collect(paired, each)) for each in _MEASURES]
    enough = [each for each, pairs in found if len(pairs) >= each.least]
    seed = f"{before.run.run} {after.run.run} {after.run.set_hash}"
    measures = tuple(
        _compare(each, pairs, error=_share(each, enough), seed=f"{seed} {each.name}")
        for each, pairs in found
        if pairs
    )
    cases = tuple(filter(None, (_find_changes(each) for each in paired.values())))
    return RunComparison(
        before=before.run,
        after=after.run,
        sentence=_say(before.run, measures, len(paired)),
        error=ERROR,
        compared=len(paired),
        left_out=left_out,
        measures=measures,
        cases=tuple(sorted(cases, key=lambda each: (-len(each.worse), len(each.better), each.case))),
        beside=_find_beside(before, after),
    )


def _pair(before: StoredRun, after: StoredRun) -> tuple[_Paired, tuple[str, ...]]:
    earlier = {(each.case, each.case_hash, each.repeat): each for each in before.results}
    paired: _Paired = {}
    for each in after.results:
        other = earlier.get((each.case, each.case_hash, each.repeat))
        if other is not None:
            paired.setdefault(each.case, []).append((other, each))
    names = dict.fromkeys(each.case for run in (before, after) for each in run.results)
    return paired, tuple(each for each in names if each not in paired)


def _collect(paired: _Paired, measure: _Measure) -> Pairs:
    value = MEASURED[measure.of]
    found: list[tuple[list[float], list[float]]] = []
    for results in paired.values():
        both = [
            (value(a), value(b)) for a, b in results if measure.of != "judge" or a.judged_by == b.judged_by
        ]
        known = [(a, b) for a, b in both if a is not None and b is not None]
        if known:
            found.append(([a for a, _ in known], [b for _, b in known]))
    return found


def _share(measure: _Measure, enough: Sequence[_Measure]) -> float:
    """The part of the stated error that a measure has."""
    others = sum(each.name != "valid" for each in enough)
    if measure.name == "valid":
        return ERROR * _OF_VALID if others else ERROR
    return ERROR * (1 - _OF_VALID) / max(1, others)


def _compare(measure: _Measure, pairs: Pairs, *, error: float, seed: str) -> MeasureComparison:
    bare = MeasureComparison(
        name=measure.name,
        cases=len(pairs),
        pairs=sum(len(pair[0]) for pair in pairs),
        before=measure.statistic([value for pair in pairs for value in pair[0]]),
        after=measure.statistic([value for pair in pairs for value in pair[1]]),
        verdict="not_enough",
    )
    if len(pairs) < measure.least:
        return bare
    interval = math.enclose_difference(pairs, measure.statistic, seed=seed, error=2 * error)
    found = msgspec.structs.replace(bare, difference=interval, error=2 * error, verdict="no_difference")
    slack = measure.tolerance * abs(bare.before)
    fell, rose = interval.high < -slack, interval.low > slack
    if not fell and not rose:
        return found
    test = _test(measure, pairs, seed=seed)
    p = test.lower if fell else test.higher
    if p <= error:
        found = msgspec.structs.replace(found, verdict="better" if rose is measure.more else "worse")
    return msgspec.structs.replace(found, p=p)


def _test(measure: _Measure, pairs: Pairs, *, seed: str) -> math.PairedTest:
    if measure.rate and all(len(pair[0]) == 1 for pair in pairs):
        return math.mcnemar(
            lost=sum(a[0] > b[0] for a, b in pairs), gained=sum(a[0] < b[0] for a, b in pairs)
        )
    return math.compare_paired(pairs, measure.tested or measure.statistic, seed=seed)


def _say(before: EvaluationRun, measures: Sequence[MeasureComparison], cases: int) -> str:
    run = f"run {before.run}"
    if not cases:
        return f"Nothing can be compared with {run}: no case of it is the same."
    worse, better = (
        [each.name for each in measures if each.verdict == verdict] for verdict in ("worse", "better")
    )
    if worse:
        also = f" Better: {', '.join(better)}." if better else ""
        return f"Worse than {run}: {', '.join(worse)}.{also}"
    if better:
        return f"Better than {run}: {', '.join(better)}; nothing is worse."
    if all(each.verdict == "not_enough" for each in measures):
        return f"Not enough cases for a verdict against {run}: {cases} of at least {LEAST_CASES}."
    return f"No difference from {run} is shown."


def _find_changes(results: Sequence[tuple[CaseResult, CaseResult]]) -> CaseChange | None:
    earlier, later = [a for a, _ in results], [b for _, b in results]
    found: list[tuple[float, str]] = []
    valid = sum(each.valid for each in earlier), sum(each.valid for each in later)
    found.append(
        (valid[1] - valid[0], f"valid {_of(earlier, valid[0])} → {_of(later, valid[1])}{_reasons(later)}")
    )
    if valid[0] and valid[1]:
        # Without content there are no facts to lose.
        found += _content_changes([a for a in earlier if a.valid], [b for b in later if b.valid])
    worse = tuple(text for change, text in found if change < -_EPSILON)
    better = tuple(text for change, text in found if change > _EPSILON)
    if not worse and not better:
        return None
    return CaseChange(case=later[0].case, kind=later[0].kind, worse=worse, better=better)


def _content_changes(earlier: Sequence[CaseResult], later: Sequence[CaseResult]) -> list[tuple[float, str]]:
    found: list[tuple[float, str]] = []
    names = (("facts", "facts kept", 0.0), ("in_time", "in time", 0.0))
    steps = (*names, ("quality", "quality", _QUALITY_STEP), ("judge", "judge", _JUDGE_STEP))
    for name, label, step in steps:
        before, after = (_mean(each, name) for each in (earlier, later))
        if before is None or after is None or abs(after - before) < step:
            continue
        lost = _names(later, "missing") if name == "facts" and after < before else ""
        found.append((after - before, f"{label} {before:.2f} → {after:.2f}{lost}"))
    terms = [{term for each in results for term in each.found} for results in (earlier, later)]
    found += [(-1.0, f"mentions {term!r}, which it must not") for term in sorted(terms[1] - terms[0])]
    found += [(1.0, f"no longer mentions {term!r}") for term in sorted(terms[0] - terms[1])]
    return found


def _mean(results: Sequence[CaseResult], name: str) -> float | None:
    values = [value for value in map(MEASURED[name], results) if value is not None]
    return math.mean(values) if values else None


def _of(results: Sequence[CaseResult], number: int) -> str:
    return f"{number} of {len(results)}"


def _names(results: Sequence[CaseResult], field: str) -> str:
    terms = dict.fromkeys(term for each in results for term in getattr(each, field))
    return f": without {', '.join(map(repr, terms))}" if terms else ""


def _reasons(results: Sequence[CaseResult]) -> str:
    codes = Counter(each.code or each.status for each in results if not each.valid)
    return f" ({', '.join(codes)})" if codes else ""


def _find_beside(before: StoredRun, after: StoredRun) -> tuple[str, ...]:
    found: list[str] = []
    for label, a, b in (
        ("set", before.run.set_hash, after.run.set_hash),
        ("version", _version(before.run), _version(after.run)),
        ("repeat", before.run.repeat, after.run.repeat),
    ):
        if a != b:
            found.append(f"{label} {a} → {b}")
    settings = sorted(before.run.settings.keys() | after.run.settings.keys())
    found += [
        f"{name} {_show(before.run.settings.get(name))} → {_show(after.run.settings.get(name))}"
        for name in settings
        if before.run.settings.get(name) != after.run.settings.get(name)
    ]
    for label, value in (("writer", _writer), ("prompt", _prompt), ("judge", _judge)):
        a, b = ({(each.kind, value(each)) for each in run.results if each.valid} for run in (before, after))
        kinds = sorted({kind for kind, _ in a} & {kind for kind, _ in b})
        for kind in kinds:
            was, now = (sorted(str(name) for of, name in found_ if of == kind) for found_ in (a, b))
            if was != now:
                found.append(f"{label} of {kind} {', '.join(was)} → {', '.join(now)}")
    return tuple(found)


def _version(run: EvaluationRun) -> str:
    return run.version if run.revision is None else f"{run.version} ({run.revision})"


def _writer(each: CaseResult) -> str:
    return f"{each.provider}/{each.model}"


def _prompt(each: CaseResult) -> str:
    return each.prompt_version or "none"


def _judge(each: CaseResult) -> str:
    return each.judged_by or "none"


def _show(value: Any) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode()
