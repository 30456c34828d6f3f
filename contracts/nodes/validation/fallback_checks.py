"""Fallback checks: mode, default content, retries and deadline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.nodes.layers import ORDER
from contracts.nodes.node import FallbackMode, NodeFallback
from contracts.nodes.validation import limits
from contracts.nodes.validation.check import Check, CheckResult, Facts, Reading, Severity, example, transition


def _fallback(reading: Reading) -> NodeFallback:
    return reading.node.fallback or NodeFallback()


def _modes(reading: Reading) -> tuple[FallbackMode | None, ...]:
    fallback = _fallback(reading)
    return (fallback.mode, fallback.then if fallback.mode is FallbackMode.RETRY else None)


def _missing(reading: Reading) -> Iterable[CheckResult]:
    if _fallback(reading).mode is None and not reading.spoilt("fallback", "mode"):
        at = ("fallback",) if reading.node.fallback is None else ("fallback", "mode")
        yield CheckResult(at, "the fallback is missing", "leave it out for a golden sample, or name a mode")


def _content(reading: Reading) -> Iterable[CheckResult]:
    named = _fallback(reading).default_content_id
    at = ("fallback", "default_content_id")
    if FallbackMode.DEFAULT_CONTENT in _modes(reading) and named is None and not reading.spoilt(*at):
        yield CheckResult(at, "mode 'default_content' does not say which content", "name a default content")


def _endless(reading: Reading) -> Iterable[CheckResult]:
    if _modes(reading) == (FallbackMode.RETRY, FallbackMode.RETRY):
        yield CheckResult(
            ("fallback", "then"), "'retry' after 'retry' never ends", "name the mode that follows the retries"
        )


def _known(reading: Reading) -> Iterable[CheckResult]:
    named, known = _fallback(reading).default_content_id, reading.facts.default_contents
    wanted = FallbackMode.DEFAULT_CONTENT in _modes(reading)
    if wanted and named is not None and known is not None and named not in known:
        yield CheckResult(
            ("fallback", "default_content_id"),
            f"there is no default content {named!r}",
            "use one from golden_samples/default_content/, or add it there",
        )


def _retries(reading: Reading) -> Iterable[CheckResult]:
    fallback = _fallback(reading)
    if fallback.mode is not FallbackMode.RETRY:
        return
    for name, wanted in (("retries", "how often"), ("timeout_ms", "how long to wait before each")):
        if getattr(fallback, name) is None and not reading.spoilt("fallback", name):
            yield CheckResult(
                ("fallback", name), f"mode 'retry' does not say {wanted}", "say it, or another decides"
            )
    retries, wait = fallback.retries or 1, fallback.timeout_ms or 0
    if retries > limits.MOST_RETRIES:
        yield CheckResult(
            ("fallback", "retries"),
            f"{retries} further attempts are paid, each of them",
            f"up to {limits.MOST_RETRIES} usually help",
        )
    if retries * wait > limits.LONGEST_WAIT_MS:
        yield CheckResult(
            ("fallback", "timeout_ms"),
            f"{retries} waits of {wait} ms are more than {limits.LONGEST_WAIT_MS} ms",
            "the deadline will come first; wait less",
        )


def _unused(reading: Reading) -> Iterable[CheckResult]:
    modes = _modes(reading)
    unused = {
        "retries": FallbackMode.RETRY not in modes,
        "then": FallbackMode.RETRY not in modes,
        "default_content_id": FallbackMode.DEFAULT_CONTENT not in modes,
    }
    for name, nobody in unused.items():
        # Values of layers below the one that chose the mode were meant for another mode.
        late = _height(reading, name) >= _height(reading, "mode")
        if nobody and late and modes[0] is not None and getattr(_fallback(reading), name) is not None:
            yield CheckResult(
                ("fallback", name),
                f"mode {str(modes[0])!r} does not use it",
                "leave it out, or change the mode",
            )


def _height(reading: Reading, name: str) -> int:
    layer = reading.set_by.get(f"fallback.{name}")
    return -1 if layer is None else ORDER.index(layer)


def _better(reading: Reading) -> Iterable[CheckResult]:
    kind, mode = reading.node.generation_type, _modes(reading)[1] or _modes(reading)[0]
    if mode is FallbackMode.NONE:
        yield CheckResult(
            ("fallback", "mode"),
            "with 'none' players see the failure",
            "'golden_sample' shows them hand-made content instead",
        )
    elif mode is FallbackMode.PLACEHOLDER:
        yield CheckResult(
            ("fallback", "mode"),
            "a placeholder says that it is one",
            "'golden_sample' or 'default_content' is content that players can be shown",
        )
    elif mode is FallbackMode.SKIP and kind != "transition":
        yield CheckResult(
            ("fallback", "mode"),
            f"'skip' is a jump cut, and a {kind or 'node'} is not a bridge that can be jumped",
            "'golden_sample' keeps the place filled",
        )


CHECKS: Final = (
    Check(
        code="FBK001",
        severity=Severity.ERROR,
        title="fallback missing",
        why="By default a golden sample answers; `null` removes that default.",
        find=_missing,
        failing=example(fallback=None),
        passing=example("fallback"),
    ),
    Check(
        code="FBK002",
        severity=Severity.ERROR,
        title="default content not named",
        why="`default_content` needs to know which one, also after retries.",
        find=_content,
        failing=example(fallback={"mode": "default_content"}),
        passing=transition(fallback={"mode": "default_content", "defaultContentId": "transition_01"}),
    ),
    Check(
        code="FBK003",
        severity=Severity.ERROR,
        title="retry after retry",
        why="A mode must follow when the retries are used up.",
        find=_endless,
        failing=example(fallback={"mode": "retry", "retries": 2, "timeoutMs": 500, "then": "retry"}),
        passing=example(fallback={"mode": "retry", "retries": 2, "timeoutMs": 500, "then": "skip"}),
    ),
    Check(
        code="FBK004",
        severity=Severity.ERROR,
        title="unknown default content",
        why="A name without a file would be noticed only at the first failure.",
        find=_known,
        needs="default_contents",
        failing=transition(
            fallback={"mode": "default_content", "defaultContentId": "transition_99"},
            facts=Facts(default_contents=("transition_01",)),
        ),
        passing=transition(
            fallback={"mode": "default_content", "defaultContentId": "transition_01"},
            facts=Facts(default_contents=("transition_01",)),
        ),
    ),
    Check(
        code="FBK005",
        severity=Severity.WARNING,
        title="retry misconfigured",
        why="Retries cost money and time: they should be named, be few "
        f"(up to {limits.MOST_RETRIES}), and wait {limits.LONGEST_WAIT_MS // 1000} s at most in all.",
        find=_retries,
        failing=example(fallback={"mode": "retry", "retries": 9, "timeoutMs": 10000, "then": "skip"}),
        passing=example(fallback={"mode": "retry", "retries": 2, "timeoutMs": 500, "then": "skip"}),
    ),
    Check(
        code="FBK006",
        severity=Severity.WARNING,
        title="setting of another mode",
        why="The node sets a default content or retries that its mode does not use.",
        find=_unused,
        failing=example(fallback={"mode": "golden_sample", "retries": 3}),
        passing=example(fallback={"mode": "golden_sample", "timeoutMs": 4000}),
    ),
    Check(
        code="FBK007",
        severity=Severity.SUGGESTION,
        title="a better fallback",
        why="Players should not notice that a model failed.",
        find=_better,
        failing=example(fallback={"mode": "none"}),
        passing=example(fallback={"mode": "golden_sample"}),
    ),
)
