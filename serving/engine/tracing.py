"""OpenTelemetry traces: request → features → score, sent in batches by a thread of the exporter.

Imported only where traces are collected: the engine and the ladder are the traced ones then. A caller's W3C
`traceparent` is the parent of the request's span. No answer waits: spans that find the queue full are dropped.
"""

import time
from contextvars import ContextVar
from typing import Any

import numpy as np
from opentelemetry.context import Context as Parent
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.engine.answer import Answer
from serving.engine.completion import RowCompletion
from serving.engine.engine import Engine
from serving.engine.fallback import FallbackScorer
from serving.models.loaded_model import LoadedModel
from serving.models.served_models import ServedArm, ServedModel
from serving.rows.reader import Packed
from serving.rows.row_shapes import RequestRows
from serving.settings.traces import Traces

_NONE = Parent()
_parent: ContextVar[Parent] = ContextVar("parent", default=_NONE)
_propagator = TraceContextTextMapPropagator()


def open_provider(settings: Traces, worker: str) -> TracerProvider:
    """Belongs to this worker: the process-wide one is BentoML's and stays as it is."""
    named = {"service.name": settings.service, "service.instance.id": worker}
    by_share = TraceIdRatioBased(settings.share)
    provider = TracerProvider(
        resource=Resource.create({**settings.attributes, **named}),
        sampler=ParentBased(by_share) if settings.follow else by_share,
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, headers=dict(settings.headers))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def take_caller_trace(traceparent: Any, tracestate: Any) -> None:
    """Take a caller's trace, text or bytes; it holds for the task that answers."""
    if traceparent is None:
        _parent.set(_NONE)
        return
    carrier = {"traceparent": _text(traceparent), "tracestate": _text(tracestate or "")}
    _parent.set(_propagator.extract(carrier, _NONE))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class TracedEngine(Engine):
    """A span around each request; its parts have theirs."""

    def __init__(self, *given: Any, tracer: Tracer, **named: Any) -> None:
        super().__init__(
            *given,
            **named,
            ladder=lambda **parts: TracedFallbackScorer(tracer, **parts),
            completion=lambda **parts: TracedRowCompletion(tracer, **parts),
        )
        self._tracer = tracer

    async def infer(self, model: str, rows: RequestRows | list[dict[str, Any]], **asked: Any) -> Answer:
        with self._tracer.start_as_current_span("request", _parent.get(), SpanKind.SERVER) as span:
            span.set_attribute("model.name", model)
            answer = await super().infer(model, rows, **asked)
            span.set_attributes(_span_attributes(answer))
        return answer


class TracedRowCompletion(RowCompletion):
    """A span around each look into the store of features."""

    def __init__(self, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    async def look_up(
        self, rows: RequestRows, loaded: LoadedModel, until: float
    ) -> tuple[RequestRows, tuple[str, ...]]:
        named = {"feature.service": loaded.contract.feature_service}
        with self._tracer.start_as_current_span("features", attributes=named) as span:
            completed, why = await super().look_up(rows, loaded, until)
            span.set_attributes({"degraded": bool(why), "why": "; ".join(why)})
        return completed, why


class TracedFallbackScorer(FallbackScorer):
    """A span around each scoring; versions that failed are its events."""

    def __init__(self, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    def score_inline(self, standing: ServedArm, packed: Packed) -> np.ndarray | None:
        began = time.time_ns()
        scores = super().score_inline(standing, packed)
        if scores is not None:
            self._tracer.start_span("score", attributes=_by(standing), start_time=began).end()
        return scores

    async def score_with_fallback(
        self, served: ServedModel, standing: ServedArm, given: RequestRows, packed: Packed, until: float
    ) -> tuple[np.ndarray, ServedArm, tuple[str, ...]]:
        with self._tracer.start_as_current_span("score", attributes=_by(standing)) as span:
            scores, gave, why = await super().score_with_fallback(served, standing, given, packed, until)
            span.set_attributes(_by(gave))
            for reason in why:
                span.add_event("version failed", {"reason": reason})
        return scores, gave, why


def _by(standing: ServedArm) -> dict[str, Any]:
    return {"model.version": standing.version, "model.arm": standing.name, "provider": standing.loaded.provider}


def _span_attributes(answer: Answer) -> dict[str, Any]:
    return {
        "request.id": answer.request_id,
        "model.version": answer.version,
        "model.arm": answer.arm,
        "model.generation": answer.generation,
        "provider": answer.provider,
        "rows": answer.rows,
        "degraded": answer.degraded,
        "why": "; ".join(answer.why),
    }
