"""Scenes of a plot: requested a few at a time, until all have ended and the plot's result goes out.

No state is kept between two looks: the log has the scenes that were requested and how they ended.  A scene starts as
soon as enough of those before it have ended, so that two workers with the same plot, or one that starts again after a
kill, request the same scenes; the broker refuses the second request of an id.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts import scenes
from contracts.nodes import layers
from contracts.nodes.node import Fallback, FallbackMode
from contracts.outcome import Cancel, Delegate, Emit, Outcome, Submit
from contracts.ports import RequestProgress
from contracts.request import GenerationRequest
from contracts.result import Status
from stages.context_build.layering import MergedNode

#: Fields that a scene's request copies from the plot's.
_SHARED: Final = frozenset({"params", "tags", "workspace", "world", "social", "player_context"})
#: Fields of the node that a scene copies: who shares what was generated.
_OF_NODE: Final = ("purpose", "strategy", "seed_source", "version")
#: Constraints of the node that a scene copies; required elements are for the plot as a whole.
_LIMITS: Final = ("rating", "avoid_elements")
#: Shortest and longest wait between two looks, seconds; in between, a tenth of the time since the plot or of the
#: time left, whichever is less.
_PAUSE_S: Final = (0.1, 0.5)
#: Longest time kept for the plot's own result, ms; usually a tenth of the time for its scenes.
_RESERVE_MS: Final = 1000


def shared_fields(asked: GenerationRequest, merged: MergedNode | None) -> dict[str, Any] | None:
    """Fields that the requests of a plot's scenes have in common; ``None``: the plot has no scenes.

    Args:
        asked: the plot's request.
        merged: its node, all layers merged.
    """
    if not asked.scenes:
        return None
    said = asked.model_dump(
        mode="json", by_alias=False, exclude_defaults=True, exclude_none=True, include=set(_SHARED)
    )
    if merged is not None:
        node = merged.node.model_dump(mode="json", by_alias=False, exclude_none=True)
        limits = node.get("constraints", {})
        own = merged.by("strategy") != layers.DEFAULTS
        told: dict[str, Any] = {name: node[name] for name in _OF_NODE if own and name in node}
        told["constraints"] = {name: limits[name] for name in _LIMITS if limits.get(name)}
        said["node"] = {name: value for name, value in told.items() if value}
    fallback = asked.merged_fallback(merged.around if merged else None)
    # The plot's default content does not fit a scene.
    if fallback is not None and FallbackMode.DEFAULT_CONTENT not in (fallback.mode, fallback.then):
        said["fallback"] = _fallback(fallback)
    return said


def _fallback(fallback: Fallback) -> dict[str, Any]:
    retrying = fallback.mode is FallbackMode.RETRY
    # Without retries the time-out is a deadline, and the plot gives each scene its own.
    return fallback.model_dump(
        mode="json", by_alias=False, exclude_unset=True, exclude=None if retrying else {"timeout_ms"}
    )


def decide(
    plotted: ev.Plotted,
    seen: Mapping[str, RequestProgress],
    *,
    plotted_at_ms: int,
    now_ms: int,
    in_flight: int,
) -> Outcome:
    """Decide what a plot does next: request scenes, wait, or end.

    Args:
        plotted: the plot.
        seen: the progress of plot and scenes, by id.
        plotted_at_ms: when the plot was stored, ms since the epoch.
        now_ms: the time, ms since the epoch.
        in_flight: scenes that may be under way at once.
    """
    plot_id, brief = plotted.result.request_id, plotted.brief
    found = scenes.listing(plotted, seen)
    running = [each for each in found if each.status == scenes.RUNNING]
    over = seen.get(plot_id, RequestProgress()).ending
    if over is not None and over.status is Status.CANCELLED:
        cancelled = ev.Cancelled(reason=f"its plot {plot_id} was cancelled")
        return Delegate(
            orders=tuple(
                Cancel(kind=scenes.KIND, request_id=each.request_id, event=cancelled) for each in running
            )
        )
    for_scenes = brief.deadline_at_ms - plotted_at_ms
    left = brief.deadline_at_ms - now_ms - min(_RESERVE_MS, for_scenes // 10)
    waiting = [each for each in found if each.status == scenes.PENDING] if left > 0 else []
    if over is not None or not (running or waiting):
        # For a plot that has ended, the broker stores only what a killed worker did not publish.
        return Emit(events=scenes.answers_with(plotted, seen))
    # An equal share of the time left for each scene that is still to run in one of the places.
    share = left // ceil(len(waiting) / in_flight) if waiting else 0
    return Delegate(
        orders=tuple(
            Submit(
                kind=scenes.KIND,
                request_id=each.request_id,
                body=msgspec.json.encode(scene_request(plotted, each.beat) | {"deadline_ms": max(1, share)}),
            )
            for each in waiting[: max(0, in_flight - len(running))]
        ),
        again_s=min(
            max(min(now_ms - plotted_at_ms, brief.deadline_at_ms - now_ms) / 10_000, _PAUSE_S[0]), _PAUSE_S[1]
        ),
    )


def scene_request(plotted: ev.Plotted, beat: int) -> dict[str, Any]:
    """The request for one beat's scene, without its deadline; beats count from 1."""
    return {
        **(plotted.brief.scenes or {}),
        "prompt": describe_scene(plotted.result.content, beat),
        "scene_of": plotted.result.request_id,
        **_shadow(plotted.brief, beat),
    }


def _shadow(brief: ev.Brief, beat: int) -> dict[str, Any]:
    """The fields that make the scene of a shadow a shadow."""
    lineage = brief.lineage
    if lineage is None or not lineage.shadow:
        return {}
    return {"replay_of": scenes.scene_id(lineage.replay_of, beat), "shadow": True}


def describe_scene(plot: Mapping[str, Any], beat: int) -> str:
    """Describe a scene for its prompt: the beat first, then its place in the plot."""
    beats: list[Mapping[str, Any]] = list(plot["beats"])
    this = beats[beat - 1]
    lines = [_gist(this)]
    if this.get("summary"):
        lines.append(str(this["summary"]))
    if this.get("characters"):
        lines.append(f"Characters: {', '.join(this['characters'])}")
    if this.get("location"):
        lines.append(f"Location: {this['location']}")
    lines.append(f"Tension: {this['tension']} of 10")
    lines.append(f"It is beat {beat} of {len(beats)} of the plot {plot['title']}: {plot['premise']}")
    if plot.get("themes"):
        lines.append(f"Themes: {', '.join(plot['themes'])}")
    if beat > 1:
        lines.append(f"Before it: {_gist(beats[beat - 2])}")
    if beat < len(beats):
        lines.append(f"After it: {_gist(beats[beat])}")
    return "\n".join(lines)


def _gist(beat: Mapping[str, Any]) -> str:
    return f"{beat['name']}: {beat['purpose']}"
