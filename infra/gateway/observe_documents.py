"""Documents: what OpenAPI says of the state and the figures of the pipeline."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from infra.app.board import BoardFigures, StageLane
from infra.app.broker_state import BrokerState
from infra.app.catalogue import KindEntry, SampleContent, SampleEntry
from infra.app.doctor_check import DoctorCheck
from infra.app.experiment_desk import ExperimentRow
from infra.app.provider_state import ProviderReport
from infra.app.stand_in import PredictedStandIn
from infra.inspect.experiments import ExperimentReading
from infra.inspect.stats_series import StatsSeries
from infra.stores.cache_listing import CacheStatistics

Responses = dict[int | str, dict[str, Any]]

_SCHEMAS: Final = "#/components/schemas"
_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{_SCHEMAS}/{name}"}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


def _answer(said: str, schema: dict[str, Any]) -> Responses:
    return {200: {"description": said, "content": {"application/json": {"schema": schema}}}}


TELEMETRY: Final = _answer("The figures.", _ref("StatsSeries"))
CACHE: Final = _answer("Size and counts.", _ref("CacheStatistics"))
PROVIDERS: Final = _answer("The providers.", _ref("ProviderReport"))
BUDGETS: Final = _answer("Limits, and the accounts of the windows that are open now.", _ref("Budgets"))
TOPOLOGY: Final = _answer("The state.", _ref("BrokerState"))
DOCTOR: Final = _answer("The findings.", _ref("DoctorReport"))
BOARD: Final = _answer("The board.", _ref("Board"))
KINDS: Final = _answer("The kinds.", _list("KindEntry"))
SAMPLES: Final = _answer("The contents' descriptions.", _list("SampleEntry"))
SAMPLE: Final = _answer("The content.", _ref("SampleContent"))
EXPERIMENTS: Final = _answer("The experiments.", _list("ExperimentRow"))
EXPERIMENT: Final = _answer("The reading.", _ref("ExperimentReading"))
EXPERIMENT_ROW: Final = _answer("The experiment as it is now.", _ref("ExperimentRow"))
STAND_IN: Final = _answer("What would stand in.", _ref("PredictedStandIn"))


def component_schemas() -> dict[str, Any]:
    """The schemas that the references of this module mean."""
    _, found = msgspec.json.schema_components(
        [
            StatsSeries,
            CacheStatistics,
            ProviderReport,
            BrokerState,
            DoctorCheck,
            StageLane,
            BoardFigures,
            KindEntry,
            SampleEntry,
            SampleContent,
            PredictedStandIn,
            ExperimentRow,
            ExperimentReading,
        ],
        ref_template=f"{_SCHEMAS}/{{name}}",
    )
    figures = found.pop("BoardFigures")
    lanes = {"at": _TEXT, "stages": _list("StageLane")}
    return {
        **found,
        **_OWN,
        "Board": _object(**lanes, **figures["properties"]),
    }


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_NUMBER_OR_NULL: Final = {"type": ["number", "null"]}
_AMOUNTS: Final = _object(tokens=_NUMBER_OR_NULL, cost=_NUMBER_OR_NULL, generations=_NUMBER_OR_NULL)
_OWN: Final[dict[str, Any]] = {
    "DoctorReport": _object(
        ok={"type": "boolean", "description": "No check failed."},
        checked_at=_TEXT,
        checks=_list("DoctorCheck"),
    ),
    "Budgets": _object(
        limits=_object(
            window_s={"type": "integer"},
            **dict.fromkeys(("total", "workspace", "node", "always_workspace", "always_node"), _AMOUNTS),
        ),
        accounts={
            "type": "array",
            "items": _object(
                scope={"type": "string", "enum": ["total", "workspace", "node"]},
                workspace=_TEXT_OR_NULL,
                node=_TEXT_OR_NULL,
                always={"type": "boolean"},
                window_s={"type": "integer"},
                opens_again=_TEXT,
                cap=_AMOUNTS,
                spent=_AMOUNTS,
                reserved=_AMOUNTS,
            ),
        },
    ),
}
