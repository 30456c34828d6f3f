"""What may the world ask for?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic.alias_generators import to_camel

from contracts import request_errors
from contracts.content import bounds
from contracts.duplicate_names import given_twice
from contracts.nodes import adjacent_scenes, layers, validation
from contracts.nodes.adjacent_scenes import Side
from contracts.nodes.field_aliases import dotted
from contracts.nodes.node import PLAIN, Constraints, ContentId, Fallback, FallbackMode, Node, Rating
from contracts.policy import fingerprint, rating
from contracts.policy.prompts import PromptConfig
from contracts.policy.rating import RatingInfo
from contracts.policy.social import Social, Worlds
from contracts.printable import printable

#: Largest request body, bytes.
MAX_BODY: Final = 256 * 1024
#: Longest prompt, characters.
MAX_PROMPT: Final = 32_000
#: Longest text of rules, characters.
MAX_RULES: Final = 16_384
#: Most choices that a request tells of its player.
MAX_CHOICES: Final = 256
#: Deepest nesting of a request body.
MAX_DEPTH: Final = 32
#: A request's deadline when neither it nor its node names one.
DEFAULT_DEADLINE_MS: Final = 60_000

#: Faults that a refusal names.
MOST_ERRORS: Final = 10
#: Longest text of a refusal, characters.
MAX_REFUSAL: Final = 4000

#: What requests are told apart by, and found again in the audit.
Label = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PLAIN)]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: An integer; some languages write 12 as 12.0.
Whole = Annotated[int, BeforeValidator(_whole)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=PLAIN)]


class RequestError(ValueError):
    """A request that cannot be accepted.

    Args:
        path: the field at fault, dotted; empty for the body as a whole.
        message: what is wrong and what to do; with what is wrong elsewhere behind it, divided by ``|``.
    """

    def __init__(self, path: str, message: str) -> None:
        said = f"{path}: {message}" if path else message
        # Names and values of strangers: a terminal would obey what is in them.
        super().__init__(printable(said, most=MAX_REFUSAL, keep="\n"))
        self.path = dotted([path])


class SamplingParams(BaseModel):
    """How the model samples; what is left out comes from the configuration."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: Whole | None = Field(default=None, ge=1, le=32_000)


class PlayerContext(BaseModel):
    """Who plays, in which playthrough, and what was chosen there."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )

    #: The player; strategy `per_player` and seed source `player` need it.
    player_id: Label | None = None
    #: One game from its start to its end; strategy `per_playthrough` and seed source `playthrough` need it.
    playthrough_id: Label | None = None
    #: What the player chose, by name; rules ask for it as ``player_choice.<name>``.
    choices: dict[Choice, JsonValue] = Field(default={}, max_length=MAX_CHOICES)


class GenerationRequest(BaseModel):
    """The body of ``gen.requested.<kind>.<id>``; snake_case and camelCase are both accepted."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )

    #: What to generate, in words.
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    #: JSON Schema of the answer; for kind ``custom`` alone.
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    #: None: taken from what is asked for, so that equal requests get equal seeds.
    seed: Whole | None = Field(default=None, ge=0, lt=2**63)
    #: When a stand-in answers if nothing else has, milliseconds after the broker took the request.
    deadline_ms: Whole | None = Field(default=None, ge=1, le=86_400_000)
    #: How the writing call samples.
    params: SamplingParams = SamplingParams()
    #: What happens when generation fails; none: a golden sample.
    fallback: Fallback | None = None
    #: What the content is about; the golden sample with most of them is chosen.
    tags: tuple[Label, ...] = Field(default=(), max_length=32)
    #: Whose request it is; kept in the audit.
    workspace: Label | None = None
    #: Which world it belongs to.
    world: Label | None = None
    #: Set by replays: the request that this one repeats.
    replay_of: Label | None = None
    #: Ask for a scene of each beat too; for kind ``plot`` alone, docs/scenes.md.
    scenes: bool = False
    #: Set where a plot asks for its scenes: the plot's request.
    scene_of: Label | None = None

    #: What a designer asks of the content; docs/nodes.md.
    node: Node | None = None
    #: Which prompt version writes, and its variables.
    prompt_config: PromptConfig | None = None

    #: Template to start from, below the node; docs/templates.md.
    template_id: ContentId | None = None
    #: What the node asks of which player, in the language of docs/rules.md.
    rules: str | None = Field(default=None, max_length=MAX_RULES)
    #: For whom it is: rules ask for it, and strategies share by it.
    player_context: PlayerContext | None = None
    #: How those whom it is about stand to each other, and what the user allows; docs/social.md.
    social: Social | None = None

    #: The scene that comes before the content: its id, or more of it.
    scene_from: Side | None = None
    #: The scene that comes after it.
    scene_to: Side | None = None

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("must say what to generate, not only blanks")
        return prompt

    @property
    def layer(self) -> dict[str, Any]:
        """What the request itself says about its node: the topmost layer."""
        return {} if self.fallback is None else {"fallback": _said(self.fallback)}

    @property
    def moods(self) -> dict[str, str]:
        """The moods of the scenes on both sides: a node's, where none of its layers names them."""
        return adjacent_scenes.moods(self.scene_from, self.scene_to)

    def wanted_fallback(self, around: Mapping[str, Mapping[str, Any]] | None = None) -> Fallback | None:
        """The fallback of all layers; ``None`` where they make none that could be done.

        Args:
            around: the layers of template and rules, as :attr:`contracts.expansion.Expansion.layers`.
        """
        merged = self._laid("fallback", around)
        try:
            return Fallback.model_validate(merged) if merged else None
        except ValidationError:
            # Context-build refuses it; until then nothing is promised.
            return None

    def wanted_rating(self, around: Mapping[str, Mapping[str, Any]] | None = None) -> Rating | None:
        """The rating of all layers, ``None`` where none says one; ``sfw`` where they cannot be read.

        Args:
            around: as for :meth:`wanted_fallback`.
        """
        try:
            return Constraints.model_validate(self._laid("constraints", around) or {}).rating
        except ValidationError:
            return Rating.SFW

    def _laid(self, part: str, around: Mapping[str, Mapping[str, Any]] | None) -> Any:
        own = getattr(self.node, part) if self.node else None
        node = {} if own is None else {part: _said(own)}
        said = {**(around or {}), layers.NODE: node, layers.REQUEST: self.layer}
        of_it = {name: {part: layer[part]} for name, layer in said.items() if part in layer}
        return layers.merge(of_it).values.get(part)

    def input_hash(self, kind: str) -> str:
        """SHA-256 of what is asked for; key order and the spelling of field names do not matter."""
        asked = self.model_dump(
            mode="json",
            by_alias=False,
            exclude_defaults=True,
            exclude={"deadline_ms": True, "replay_of": True, "scene_of": True, "node": {"budget"}},
        )
        return fingerprint.digest({"kind": kind, **asked})


def read(body: bytes, kind: str) -> GenerationRequest:
    """Read and check a request body.

    Raises:
        RequestError: naming the field and the fix.
    """
    if len(body) > MAX_BODY:
        raise RequestError("", f"the body has {len(body)} bytes; at most {MAX_BODY} are accepted")
    twice = given_twice(body)
    if twice:
        raise refusal([(dotted(map(str, place)), "given twice; keep one of them") for place in twice])
    beyond = bounds.fault(body)
    if beyond is not None:
        raise RequestError(*beyond)
    try:
        request = GenerationRequest.model_validate_json(body)
    except ValidationError as error:
        raise refusal(
            request_errors.faults(body, error, GenerationRequest, kind=kind, most=MOST_ERRORS)
        ) from None
    if kind == "custom" and request.schema_ is None:
        raise RequestError("schema", "is required for kind custom: give the JSON Schema of the answer")
    if kind != "custom" and request.schema_ is not None:
        raise RequestError("schema", f"is for kind custom only; kind {kind} has its own")
    if request.scenes and kind != "plot":
        raise RequestError("scenes", f"is for kind plot only, not {kind}; leave it out")
    if request.player_context is not None and _deeper_than(request.player_context.choices, MAX_DEPTH):
        raise RequestError("player_context.choices", f"is nested more than {MAX_DEPTH} levels deep")
    return request


def refusal(faults: Iterable[tuple[str, str]]) -> RequestError:
    """One error for some faults, each with its field and its text; the first :data:`MOST_ERRORS` are told."""
    (path, message), *others = faults
    told = [f"{where}: {text}" if where else text for where, text in others[: MOST_ERRORS - 1]]
    if len(others) >= MOST_ERRORS:
        told.append(f"and {len(others) - MOST_ERRORS + 1} more")
    return RequestError(path, " | ".join([message, *told]))


def refuse(
    report: validation.Report, *, place: Callable[[validation.Finding], str] = request_errors.in_the_node
) -> None:
    """Refuse a request for the errors of its node; without one, do nothing.

    Args:
        report: what was found.
        place: the field of the request that a finding is about.

    Raises:
        RequestError: naming the first errors, each with its code, path and fix.
    """
    if not report.ok:
        raise refusal([(place(each), request_errors.told(each)) for each in report.errors])


def _said(model: BaseModel) -> dict[str, Any]:
    """What stands in a part of the request, without the defaults."""
    return model.model_dump(mode="json", by_alias=False, exclude_unset=True, exclude_none=True)


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType]
    return any(_deeper_than(item, levels - 1) for item in inner)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


class FallbackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the fallback does for one request."""

    mode: FallbackMode = FallbackMode.GOLDEN_SAMPLE
    default_content_id: str | None = None
    retries: int = 0
    retry_wait_ms: int = 0
    then: FallbackMode = FallbackMode.GOLDEN_SAMPLE
    #: What was asked for and what holds, as far as it is known before the node is examined.
    rating: RatingInfo = RatingInfo()
    deadline_ms: int = DEFAULT_DEADLINE_MS

    @property
    def max_rating(self) -> Rating:
        """The greatest rating of a stand-in."""
        return self.rating.effective


def plan_fallback(
    request: GenerationRequest | None,
    *,
    worlds: Worlds | None = None,
    default_deadline_ms: int = DEFAULT_DEADLINE_MS,
    around: Mapping[str, Mapping[str, Any]] | None = None,
) -> FallbackPlan:
    """Resolve a request's fallback; what cannot be resolved means a golden sample at ``sfw``.

    Args:
        request: the checked request, ``None`` for one that could not be read.
        worlds: the worlds' schemas; none: ``sfw`` is the greatest rating.
        default_deadline_ms: milliseconds, for requests that name no deadline.
        around: the layers of the request's template and rules.
    """
    rated = RatingInfo()
    if request is not None and worlds is not None:
        said = request.wanted_rating(around)
        rated = rating.decide(said=said, social=request.social, world=request.world, worlds=worlds).rating
    fallback = request.wanted_fallback(around) if request else None
    if request is None or fallback is None:
        deadline = request.deadline_ms if request else None
        return FallbackPlan(rating=rated, deadline_ms=deadline or default_deadline_ms)
    retrying = fallback.mode is FallbackMode.RETRY
    timeout = None if retrying else fallback.timeout_ms
    return FallbackPlan(
        mode=fallback.mode,
        default_content_id=fallback.default_content_id,
        retries=fallback.retries if retrying else 0,
        retry_wait_ms=(fallback.timeout_ms or 0) if retrying else 0,
        then=fallback.then,
        rating=rated,
        deadline_ms=request.deadline_ms or timeout or default_deadline_ms,
    )
