"""Where traces go, in OpenTelemetry's own variables. `config.py` brings them; nothing of OpenTelemetry is imported."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from serving.settings.environment import Asked

_SAMPLERS = tuple(
    f"{parent}{name}" for parent in ("", "parentbased_") for name in ("always_on", "always_off", "traceidratio")
)


class Traces(NamedTuple):
    """Where traces go, and how many: by OpenTelemetry's own variables."""

    endpoint: str
    headers: Mapping[str, str]
    service: str
    attributes: Mapping[str, str]
    share: float  # of the requests without a trace of their own
    follow: bool  # a caller's trace decides for its requests


def read_traces(asked: Asked) -> Traces | None:
    """On where an exporter or an address is named. OTLP over HTTP is what can be spoken."""
    exporter = asked.text("OTEL_TRACES_EXPORTER")
    whole, base = asked.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), asked.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    if asked.text("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none" or not (exporter or whole or base):
        return None
    protocol = asked.text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    sampler = asked.text("OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    for name, given, known in (
        ("OTEL_TRACES_EXPORTER", exporter or "otlp", ("otlp", "none")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol or "http/protobuf", ("http/protobuf",)),
        ("OTEL_TRACES_SAMPLER", sampler, _SAMPLERS),
    ):
        if given not in known:
            asked.wrong(f"{name}={given!r} is none of {', '.join(known)}")
    attributes = _pairs(asked.text("OTEL_RESOURCE_ATTRIBUTES"))
    return Traces(
        endpoint=whole or f"{(base or 'http://localhost:4318').rstrip('/')}/v1/traces",
        headers=_pairs(asked.text("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")),
        service=asked.text("OTEL_SERVICE_NAME") or attributes.get("service.name", "endpoint"),
        attributes=attributes,
        share=_share(asked, sampler),
        follow=sampler.startswith("parentbased_"),
    )


def _share(asked: Asked, sampler: str) -> float:
    if sampler.endswith("ratio"):
        return asked.number("OTEL_TRACES_SAMPLER_ARG", 1.0, 0, 1)
    return float(sampler.endswith("on"))


def _pairs(text: str) -> dict[str, str]:
    """`name=value,name=value`, each percent-encoded."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}
