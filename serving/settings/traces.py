"""Where traces go and how many there are, in OpenTelemetry's own variables. Imports nothing of OpenTelemetry."""

from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AliasChoices, BeforeValidator, Field

from serving.contract.validation import Within
from serving.settings.environment import EnvironmentSettings, Texts, set_texts


def _read_pairs(text: str) -> dict[str, str]:
    """`name=value,name=value`, each percent-encoded."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def _variables(name: str) -> AliasChoices:
    """What is said for traces alone comes before what is said for all signals."""
    return AliasChoices(f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}")


_EXPORTER, _SAMPLER, _ARGUMENT = "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
Pairs = Annotated[dict[str, str], BeforeValidator(_read_pairs)]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class Traces(EnvironmentSettings):
    exporter: Literal["otlp", "none"] = Field("otlp", validation_alias=_EXPORTER)
    protocol: Literal["http/protobuf"] = Field("http/protobuf", validation_alias=_variables("PROTOCOL"))
    own_address: str | None = Field(None, validation_alias=_ADDRESSES[0])
    base_address: str = Field("http://localhost:4318", validation_alias=_ADDRESSES[1])
    headers: Pairs = Field({}, validation_alias=_variables("HEADERS"), repr=False)
    attributes: Pairs = Field({}, validation_alias="OTEL_RESOURCE_ATTRIBUTES")
    service: str = Field(
        default_factory=lambda data: data["attributes"].get("service.name", "endpoint"),
        validation_alias="OTEL_SERVICE_NAME",
    )
    sampler: Sampler = Field("parentbased_always_on", validation_alias=_SAMPLER)
    ratio: Annotated[float, Within(0, 1)] = Field(1.0, validation_alias=_ARGUMENT)

    @property
    def endpoint(self) -> str:
        return self.own_address or f"{self.base_address.rstrip('/')}/v1/traces"

    @property
    def share(self) -> float:
        """The share of requests that are traced where the caller sends no trace."""
        return self.ratio if self.sampler.endswith("ratio") else float(self.sampler.endswith("on"))

    @property
    def follow(self) -> bool:
        """Whether a caller's trace decides for its requests."""
        return self.sampler.startswith("parentbased_")


def trace_texts(environment: Texts) -> Texts | None:
    """The variables of traces; None where they are switched off, or where nothing names an exporter or an address."""
    texts = {name: text for name, text in set_texts(environment).items() if name.startswith("OTEL_")}
    if texts.get("OTEL_SDK_DISABLED", "").lower() == "true" or texts.get(_EXPORTER) == "none":
        return None
    if not texts.get(_SAMPLER, "").endswith("ratio"):
        texts.pop(_ARGUMENT, None)  # other samplers take no argument
    return texts if texts.keys() & {_EXPORTER, *_ADDRESSES} else None
