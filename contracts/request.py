"""Request body: its fields, its validation, and its input hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import (
    AfterValidator,
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
from contracts.duplicate_names import find_duplicates
from contracts.lineage import DESCENT, Lineage, StartStage
from contracts.nodes import adjacent_scenes, layers, validation
from contracts.nodes.adjacent_scenes import AdjacentScene
from contracts.nodes.field_aliases import format_path
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
#: Most choices of a player in one request.
MAX_CHOICES: Final = 256
#: Deepest nesting of a request body.
MAX_DEPTH: Final = 32
#: Deadline of a request if neither it nor its node sets one.
DEFAULT_DEADLINE_MS: Final = 60_000

#: Most faults in a refusal.
MOST_ERRORS: Final = 10
#: Longest text of a refusal, characters.
MAX_REFUSAL: Final = 4000

#: Labels that identify requests, also in the audit.
Label = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PLAIN)]


def _as_integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: An integer; some languages write 12 as 12.0.
Whole = Annotated[int, BeforeValidator(_as_integer)]
#: Fields that are no part of a request's input.
_NO_INPUT: Final = dict.fromkeys(("deadline_ms", *DESCENT), True)
ProviderName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PLAIN)]
Choice = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=PLAIN)]


class RequestError(ValueError):
    """A request that cannot be accepted.

    Args:
        path: the field at fault, dotted; empty for the body as a whole.
        message: what is wrong and how to fix it; further faults follow, separated by ``|``.
        faults: every fault, a field and a message each; by default this one.
    """

    def __init__(self, path: str, message: str, *, faults: tuple[tuple[str, str], ...] = ()) -> None:
        text = f"{path}: {message}" if path else message
        # Foreign names and values: a terminal would obey control characters in them.
        super().__init__(printable(text, most=MAX_REFUSAL, keep="\n"))
        self.path = format_path([path])
        self.faults = tuple(
            (format_path([field]), printable(said, most=MAX_REFUSAL))
            for field, said in faults or ((path, message),)
        )


class SamplingParams(BaseModel):
    """Sampling parameters; missing values come from the configuration."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: Whole | None = Field(default=None, ge=1, le=32_000)


class PlayerContext(BaseModel):
    """The player, the playthrough, and the player's choices."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )

    #: The player; strategy `per_player` and seed source `player` need it.
    player_id: Label | None = None
    #: One game from its start to its end; strategy `per_playthrough` and seed source `playthrough` need it.
    playthrough_id: Label | None = None
    #: The player's choices, by name; rules refer to one as ``player_choice.<name>``.
    choices: dict[Choice, JsonValue] = Field(default={}, max_length=MAX_CHOICES)


class GenerationRequest(BaseModel):
    """The body of ``gen.requested.<kind>.<id>``; snake_case and camelCase are both accepted."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True
    )

    #: Description of the content to generate.
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    #: JSON Schema of the answer; for kind ``custom`` only.
    schema_: Annotated[dict[str, Any] | None, AfterValidator(bounds.drop_vacuous)] = Field(
        default=None, alias="schema"
    )
    #: Seed of the generation. Default: derived from the request, so that equal requests get equal seeds.
    seed: Whole | None = Field(default=None, ge=0, lt=2**63)
    #: When the fallback answers if there is no result yet, milliseconds after the broker accepted the request.
    deadline_ms: Whole | None = Field(default=None, ge=1, le=86_400_000)
    #: Sampling parameters of the freeform call.
    params: SamplingParams = SamplingParams()
    #: What to do when generation fails. Default: a golden sample.
    fallback: Fallback | None = None
    #: Topics of the content; the golden sample that shares most of them is chosen.
    tags: tuple[Label, ...] = Field(default=(), max_length=32)
    #: Workspace that the request belongs to; stored in the audit.
    workspace: Label | None = None
    #: World that the content belongs to.
    world: Label | None = None
    #: Set by replays: the request that this one repeats.
    replay_of: Label | None = None
    #: Set by replays for comparison: no subscriber, cache or statistic sees the content.
    shadow: bool = False
    #: Set by replays: the stage that starts, with what the stages before it stored for `replay_of`.
    from_stage: StartStage | None = None
    #: Set by replays: the result cache may answer, as it may any other request.
    reuse: bool = False
    #: Set by replays of edited requests: the job that edited this one.
    patched_by: Label | None = None
    #: Set by replays: the provider that works instead of the routed one, or ``server/model``.
    provider: ProviderName | None = None
    #: Also generate a scene for each beat; for kind ``plot`` only, see docs/scenes.md.
    scenes: bool = False
    #: Set on the scene requests of a plot: the plot's request.
    scene_of: Label | None = None

    #: Node configuration; see docs/nodes.md.
    node: Node | None = None
    #: Selection of the prompt version, and its variables.
    prompt_config: PromptConfig | None = None

    #: Template that the node starts from; see docs/templates.md.
    template_id: ContentId | None = None
    #: Node settings that depend on the player, in the rule language of docs/rules.md.
    rules: str | None = Field(default=None, max_length=MAX_RULES)
    #: The player that the content is for; rules and strategies use it.
    player_context: PlayerContext | None = None
    #: Relationship of the characters, and what the user allows; see docs/social.md.
    social: Social | None = None

    #: The scene before the content: its id, or more of it.
    scene_from: AdjacentScene | None = None
    #: The scene after the content.
    scene_to: AdjacentScene | None = None

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("must not be blank; describe what to generate")
        return prompt

    @property
    def lineage(self) -> Lineage | None:
        """How the request descends from an earlier one, as it says itself; ``None``: it does not."""
        if self.replay_of is None:
            return None
        return Lineage(
            replay_of=self.replay_of,
            shadow=self.shadow,
            from_stage=self.from_stage,
            patched_by=self.patched_by,
            reuse=self.reuse,
            provider=self.provider,
        )

    @property
    def layer(self) -> dict[str, Any]:
        """The fields that the request itself sets on its node: the topmost layer."""
        return {} if self.fallback is None else {"fallback": _set_fields(self.fallback)}

    @property
    def moods(self) -> dict[str, str]:
        """Moods of the adjacent scenes, used where no layer sets them."""
        return adjacent_scenes.scene_moods(self.scene_from, self.scene_to)

    def merged_fallback(self, around: Mapping[str, Mapping[str, Any]] | None = None) -> Fallback | None:
        """The fallback of the merged layers; ``None`` if they make no valid one.

        Args:
            around: the layers of template and rules, as :attr:`contracts.expansion.Expansion.layers`.
        """
        merged = self._merge_part("fallback", around)
        if not merged:
            return None
        try:
            return Fallback.model_validate(merged)
        except ValidationError:
            # Context-build refuses such a request.
            return None

    def merged_rating(self, around: Mapping[str, Mapping[str, Any]] | None = None) -> Rating | None:
        """The rating of the merged layers, ``None`` if no layer sets one; ``sfw`` if they are invalid.

        Args:
            around: as for :meth:`merged_fallback`.
        """
        merged = self._merge_part("constraints", around)
        if not merged:
            return None
        try:
            return Constraints.model_validate(merged).rating
        except ValidationError:
            return Rating.SFW

    def _merge_part(self, part: str, around: Mapping[str, Mapping[str, Any]] | None) -> Any:
        own = getattr(self.node, part) if self.node else None
        node = {} if own is None else {part: _set_fields(own)}
        given = {**(around or {}), layers.NODE: node, layers.REQUEST: self.layer}
        parts = {name: {part: layer[part]} for name, layer in given.items() if part in layer}
        return layers.merge_layers(parts).values.get(part) if parts else None

    def input_hash(self, kind: str) -> str:
        """SHA-256 of the request's input; key order and the spelling of field names do not matter."""
        fields = self.model_dump(
            mode="json",
            by_alias=False,
            exclude_defaults=True,
            exclude={**_NO_INPUT, "node": {"budget"}},
        )
        return fingerprint.digest({"kind": kind, **fields})


def read(body: bytes, kind: str) -> GenerationRequest:
    """Decode and validate a request body.

    Raises:
        RequestError: naming the field and the fix.
    """
    if len(body) > MAX_BODY:
        raise RequestError("", f"the body has {len(body)} bytes; at most {MAX_BODY} are accepted")
    twice = find_duplicates(body)
    if twice:
        raise build_refusal(
            [(format_path(map(str, place)), "appears twice; keep one of them") for place in twice]
        )
    beyond = bounds.fault(body)
    if beyond is not None:
        raise RequestError(*beyond)
    try:
        request = GenerationRequest.model_validate_json(body)
    except ValidationError as error:
        raise build_refusal(
            request_errors.find_faults(body, error, GenerationRequest, kind=kind, most=MOST_ERRORS)
        ) from None
    if kind == "custom" and request.schema_ is None:
        raise RequestError("schema", "is required for kind custom: give the JSON Schema of the answer")
    if kind != "custom" and request.schema_ is not None:
        raise RequestError("schema", f"is for kind custom only; kind {kind} has its own")
    if request.scenes and kind != "plot":
        raise RequestError("scenes", f"is for kind plot only, not {kind}; leave it out")
    _check_lineage(request)
    if request.player_context is not None and _deeper_than(request.player_context.choices, MAX_DEPTH):
        raise RequestError("player_context.choices", f"is nested more than {MAX_DEPTH} levels deep")
    return request


def _check_lineage(request: GenerationRequest) -> None:
    for name in Lineage.__struct_fields__:
        if request.replay_of is None and getattr(request, name):
            raise RequestError(name, "is for replays only, which also have replay_of; leave it out")


def build_refusal(faults: Iterable[tuple[str, str]]) -> RequestError:
    """One error for several faults, each a field and a message; at most :data:`MOST_ERRORS` are listed."""
    every = tuple(faults)
    (path, message), *others = every
    listed = [f"{where}: {text}" if where else text for where, text in others[: MOST_ERRORS - 1]]
    if len(others) >= MOST_ERRORS:
        listed.append(f"and {len(others) - MOST_ERRORS + 1} more")
    return RequestError(path, " | ".join([message, *listed]), faults=every[:MOST_ERRORS])


def refuse(
    report: validation.Report, *, place: Callable[[validation.Finding], str] = request_errors.node_path
) -> None:
    """Refuse a request because of errors in its node; without errors, do nothing.

    Args:
        report: the findings for the node.
        place: maps a finding to a field of the request.

    Raises:
        RequestError: naming the first errors, each with its code, path and fix.
    """
    if not report.ok:
        raise build_refusal([(place(each), request_errors.format_finding(each)) for each in report.errors])


def _set_fields(model: BaseModel) -> dict[str, Any]:
    """The fields of a part of the request that are set."""
    return model.model_dump(mode="json", by_alias=False, exclude_unset=True, exclude_none=True)


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType]
    return any(_deeper_than(item, levels - 1) for item in inner)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


class FallbackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the fallback stage does for one request."""

    mode: FallbackMode = FallbackMode.GOLDEN_SAMPLE
    default_content_id: str | None = None
    retries: int = 0
    retry_wait_ms: int = 0
    then: FallbackMode = FallbackMode.GOLDEN_SAMPLE
    #: Requested and effective rating, as far as known before the node is examined.
    rating: RatingInfo = RatingInfo()
    deadline_ms: int = DEFAULT_DEADLINE_MS

    @property
    def max_rating(self) -> Rating:
        """The highest rating of the fallback content."""
        return self.rating.effective


def plan_fallback(
    request: GenerationRequest | None,
    *,
    worlds: Worlds | None = None,
    default_deadline_ms: int = DEFAULT_DEADLINE_MS,
    around: Mapping[str, Mapping[str, Any]] | None = None,
) -> FallbackPlan:
    """Resolve a request's fallback; if that is impossible, a golden sample at ``sfw``.

    Args:
        request: the validated request, ``None`` if it could not be decoded.
        worlds: the world schemas; without them, ``sfw`` is the highest rating.
        default_deadline_ms: milliseconds, for requests without a deadline.
        around: the layers of the request's template and rules.
    """
    rated = RatingInfo()
    if request is not None and worlds is not None:
        requested = request.merged_rating(around)
        rated = rating.decide(
            given=requested, social=request.social, world=request.world, worlds=worlds
        ).rating
    fallback = request.merged_fallback(around) if request else None
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
