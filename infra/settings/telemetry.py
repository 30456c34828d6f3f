"""Settings of traces."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TelemetrySettings(BaseModel):
    """OpenTelemetry traces; they need the extra `otel`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: URL of an OTLP/HTTP collector, such as `http://localhost:4318`; none: no traces.
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s]+", repr=False)
    #: Share of all requests whose traces are recorded.
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    #: Spans that one process records per second; above it, it records a smaller share of the traces.
    spans_per_second: int = Field(default=100, ge=1, le=1_000_000)
