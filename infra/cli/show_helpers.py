"""Records of helper tasks for people: how a document was judged, and what became of the rewriting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from contracts.printable import printable
from infra.cli.show import milliseconds

if TYPE_CHECKING:
    from contracts.helper_tasks import EnhancementInfo, EvaluationInfo

_TITLE: Final = "evaluation: "


def helper_lines(evaluation: EvaluationInfo | None, enhancement: EnhancementInfo | None) -> list[Text]:
    """What the helper tasks did for a result, in lines; none where they are off.

    Args:
        evaluation: the judgement of the content.
        enhancement: what became of the rewriting.
    """
    found: list[Text] = []
    if enhancement is not None:
        found.append(Text(_enhancement(enhancement), style="dim"))
    if evaluation is not None:
        found.append(_head(evaluation))
        width = max((len(each.name) for each in evaluation.criteria), default=0)
        for each in evaluation.criteria:
            line = Text(f"  {printable(each.name):<{width}}  {each.score}  ", style="bold")
            found.append(line.append(printable(each.reason), style="not bold"))
    return found


def _head(info: EvaluationInfo) -> Text:
    rubric = f"rubric {printable(info.rubric or '?')}"
    if info.score is None:
        said = f"{_TITLE}{info.state}: {printable(info.reason)}"
        return Text(said, style="yellow" if info.state == "failed" else "dim")
    by = f" by {printable(f'{info.provider}/{info.model}')}, {rubric}, {milliseconds(info.time_ms)}"
    return Text.assemble(_TITLE, (f"{info.score:g} of 5", "bold"), (by, "dim"))


def _enhancement(info: EnhancementInfo) -> str:
    title = f"enhancement: {printable(info.of)} "
    if not info.rewritten:
        return f"{title}{'kept' if info.state == 'kept' else f'not rewritten, {info.state}'}: {printable(info.reason)}"
    done = "rewritten" if info.of == "draft" else "extended"
    return f"{title}{done} by {printable(f'{info.provider}/{info.model}')}, {milliseconds(info.time_ms)}"
