"""Terminal view of reviews: what was scored, the report, and candidates for golden samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from infra.cli.show import aligned

if TYPE_CHECKING:
    from infra.app.review_candidates import ReviewCandidates
    from infra.app.review_desk import RevealedSide, ReviewOutcome
    from infra.inspect.review_report import ReviewedGroup, ReviewReport

#: Tags of a group that a table shows.
_TAGS = 3


def render_outcome(found: ReviewOutcome) -> list[Text]:
    """The lines of a decided item: what it was, if it was scored."""
    if not found.sides:
        return [Text(f"{found.item} is {found.state}")]
    names = ("left", "right") if len(found.sides) > 1 else ("",)
    rows = [
        (name, str(each.score), each.request_id, _writer(each), each.prompt_version or "", _others(each))
        for name, each in zip(names, found.sides, strict=True)
    ]
    lines = aligned(("", "score", "request", "written by", "prompt", "others"), rows)
    if found.preferred is not None:
        lines.append(Text(f"preferred: {found.preferred}"))
    return lines


def _writer(side: RevealedSide) -> str:
    found = f"{side.provider}/{side.model}" if side.provider else side.origin or "purged"
    return found if side.arm is None else f"{found}, {side.arm}"


def _others(side: RevealedSide) -> str:
    found = "" if side.others_mean is None else f"{side.others_mean:.1f} of {side.others}"
    judge = "" if side.judged is None else f"judge {side.judged:.1f}"
    return ", ".join(filter(None, (found, judge))) or "none yet"


def render_report(found: ReviewReport) -> list[Text]:
    """The lines of a report."""
    lines = [Text(found.sentence, style="bold green" if found.winner else "bold")]
    if found.groups:
        rows = [_group(each) for each in found.groups]
        head = (
            *(found.by.replace("_", " "), "results", "scores", "mean"),
            *("good (4 and 5)", "won:lost:tied", "tags"),
        )
        lines += aligned(head, rows)
    lines.append(Text(found.agreement.sentence))
    if found.judge.results:
        lines.append(Text(found.judge.sentence))
    if found.revealed:
        lines.append(
            Text(f"scored once more after the writer had been shown: {found.revealed:,}", style="yellow")
        )
    if found.cut:
        lines.append(Text("there are more scores; these are the latest", style="yellow"))
    lines.append(
        Text(
            f"scores {found.scores:,}, results {found.results:,}, reviewers {found.reviewers:,}; intervals 95 %; no group "
            f"is called better below {found.least} results",
            style="dim",
        )
    )
    return lines


def _group(each: ReviewedGroup) -> tuple[str, ...]:
    good = each.good
    return (
        each.name,
        f"{each.results:,}",
        f"{each.scores:,}",
        f"{each.mean:.2f}",
        f"{good.value:.0%} ({good.low:.0%} to {good.high:.0%})",
        f"{each.won}:{each.lost}:{each.tied}",
        ", ".join(f"{tag} {number}" for tag, number in each.tags[:_TAGS]),
    )


def render_candidates(found: ReviewCandidates) -> list[Text]:
    """The lines of results to promote, and of samples to look at again."""
    if not found.candidates and not found.doubtful:
        return [Text("no reviewed result is good enough, and no golden sample is scored badly")]
    lines: list[Text] = []
    if found.candidates:
        rows = [
            (
                each.request_id,
                each.kind,
                each.rating,
                f"{each.samples:,}",
                f"{each.mean_score:.2f}",
                f"{each.reviewers:,}",
                each.writer,
            )
            for each in found.candidates
        ]
        lines += aligned(
            ("request", "kind", "rating", "samples now", "mean", "reviewers", "written by"), rows
        )
        lines.append(Text(f"understudy review promote {found.candidates[0].request_id}", style="dim"))
    if found.doubtful:
        doubtful = [
            (Text(each.name, style="red"), f"{each.mean_score:.2f}", each.reason) for each in found.doubtful
        ]
        lines += aligned(("golden sample", "mean", "would not be promoted"), doubtful)
    return lines
