"""Scenes of a plot: their ids, their requests, and the state of the plot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from contracts import events as ev
from contracts import subjects
from contracts.ports import RequestProgress, StoredRequest
from contracts.request import GenerationRequest, RequestError
from contracts.result import Origin, SceneInfo, Status
from contracts.revisions import answers

#: The kind of a scene's request.
KIND: Final = "scene"
#: Maximum number of beats, as in the plot's model.
MAX_BEATS: Final = 40
#: States of a scene without a result.
RUNNING: Final = "running"
PENDING: Final = "pending"

_UNASKED: Final = "not requested before the plot ended"
_EARLY: Final = "the plot ended before all of its scenes had: their own results may still come"
_ROOM: Final = len(f"-s{MAX_BEATS}")
_MAX_ID: Final = 64


class _Asked(msgspec.Struct, frozen=True):
    scene_of: str | None = None


def check_id(asked: GenerationRequest, request_id: str) -> None:
    """Reject a plot's id that leaves no room for its scenes' ids.

    Raises:
        RequestError: the id is too long.
    """
    if asked.scenes and len(request_id) + _ROOM > _MAX_ID:
        raise RequestError(
            "scenes",
            f"need ids of their own behind the plot's, {request_id}-s1 and so on: choose an id of at most "
            f"{_MAX_ID - _ROOM} characters, this one has {len(request_id)}",
        )


def scene_id(plot_id: str, beat: int) -> str:
    """The id of the request for a beat's scene; beats count from 1."""
    return f"{plot_id}-s{beat}"


def split_id(request_id: str) -> tuple[str, int] | None:
    """The plot's id and the beat of a scene's id; ``None``: it is no scene's."""
    plot_id, separator, beat = request_id.rpartition("-s")
    if not separator or not beat.isdecimal() or not 1 <= int(beat) <= MAX_BEATS:
        return None
    return (plot_id, int(beat)) if scene_id(plot_id, int(beat)) == request_id else None


def ids(plotted: ev.Plotted) -> tuple[str, ...]:
    """The ids of all scenes of a plot."""
    return tuple(scene_id(plotted.result.request_id, beat) for beat in range(1, len(beats(plotted)) + 1))


def beats(plotted: ev.Plotted) -> tuple[Mapping[str, Any], ...]:
    """The beats of a plot."""
    return tuple(cast("dict[str, Any]", plotted.result.content)["beats"])


def listing(
    plotted: ev.Plotted, seen: Mapping[str, RequestProgress], *, over: bool = False
) -> tuple[SceneInfo, ...]:
    """A plot's scenes with their current state.

    Args:
        plotted: the plot.
        seen: the states in the log, by id.
        over: no more scenes are requested.
    """
    plot_id = plotted.result.request_id
    found: list[SceneInfo] = []
    for beat, (request_id, told) in enumerate(zip(ids(plotted), beats(plotted), strict=True), start=1):
        status, origin, reason = _state(seen.get(request_id, RequestProgress()), plot_id)
        if status == PENDING:
            reason = _UNASKED if over else None
        found.append(
            SceneInfo(
                request_id=request_id,
                beat=beat,
                name=str(told["name"]),
                status=status,
                origin=origin,
                reason=reason,
            )
        )
    return tuple(found)


def _state(seen: RequestProgress, plot_id: str) -> tuple[str, Origin | None, str | None]:
    owner, ending = seen.owner, seen.ending
    if owner is not None and not _is_scene_of(owner, plot_id):
        subject = subjects.gen("requested", owner.kind, owner.request_id)
        return Status.REJECTED, Origin.NONE, f"its id belongs to {subject}, which is no scene of this plot"
    if ending is not None:
        return ending.status, ending.origin, ending.reason
    return (PENDING if owner is None else RUNNING), None, None


def _is_scene_of(owner: StoredRequest, plot_id: str) -> bool:
    # By its content and not by its whole body, because another release may encode it differently.
    try:
        asked = msgspec.json.decode(owner.body, type=_Asked)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return owner.kind == KIND and asked.scene_of == plot_id


def ending(result: ev.Result, brief: ev.Brief, *, attempt: int) -> tuple[ev.Event, ...]:
    """The events for a request whose content is ready.

    Args:
        result: the content with its label.
        brief: the request's brief.
        attempt: the attempt that produced it.

    Returns:
        ``plotted`` for a plot that asks for its scenes, else the answers.
    """
    if brief.scenes is not None:
        return (ev.Plotted(attempt=attempt, brief=brief, result=result),)
    return answers(result, brief)


def answers_with(plotted: ev.Plotted, seen: Mapping[str, RequestProgress]) -> tuple[ev.Event, ...]:
    """The answers of a plot whose scenes have ended, or whose deadline has passed.

    Args:
        plotted: the plot.
        seen: the state of its scenes.
    """
    found = listing(plotted, seen, over=True)
    result = msgspec.structs.replace(plotted.result, scenes=found)
    if any(each.status in (RUNNING, PENDING) for each in found):
        meta = msgspec.structs.replace(result.meta, warnings=(*result.meta.warnings, _EARLY))
        result = msgspec.structs.replace(result, meta=meta)
    return answers(result, plotted.brief)
