"""The content of `GET /releases`: the open doors, and each model's arms, versions, providers and failures to load."""

from typing import Any

from serving.doors.context import Context
from serving.models.served_models import ServedArm, ServedModel, ServedModels

_REST = ("REST", "Open Inference Protocol v2 over REST")


def describe_releases(context: Context, host: str | None, port: int | None) -> dict[str, Any]:
    """`host` and `port` are those of the request."""
    models = context.models
    names = sorted({*models.served, *models.troubles})
    return {
        "worker": context.worker,
        "ready": context.ready,
        "doors": _doors(context, host, port),
        "models": {name: _model(models, name) for name in names},
    }


def _doors(context: Context, host: str | None, port: int | None) -> list[dict[str, Any]]:
    here = {"host": host, "port": port, "open": True}
    doors: list[dict[str, Any]] = [{"protocol": protocol, **here} for protocol in _REST]
    for door in context.doors:
        doors.append({"protocol": door.protocol, "host": door.host, "port": door.port, "open": door.trouble is None})
    return doors


def _model(models: ServedModels, name: str) -> dict[str, Any]:
    served, trouble = models.served.get(name), models.troubles.get(name)
    content: dict[str, Any] = _served(served) if served else {"generation": None}
    if trouble:
        content["not_served"] = {
            "generation": trouble.generation,
            "reason": trouble.reason,
            "attempts": trouble.attempts,
        }
    return content


def _served(served: ServedModel) -> dict[str, Any]:
    release = served.release
    weights = {arm.name: arm.weight for arm in release.arms}
    arms = [{**_arm(arm), "weight": weights[arm.name]} for arm in served.arms.values()]
    return {
        "generation": release.generation,
        "strategy": str(release.strategy),
        "provider_asked": str(release.provider),
        "arms": arms,
        "previous": _arm(served.previous) if served.previous else None,
        "default": release.default,
        "opened_at": release.opened_at.isoformat(),
    }


def _arm(arm: ServedArm) -> dict[str, Any]:
    timing = arm.loaded.timing
    return {
        "name": arm.name,
        "version": arm.version,
        "role": arm.role,
        "bundle": arm.digest,
        "provider": arm.loaded.provider,
        "precision": arm.loaded.contract.precision,
        "circuit": str(arm.breaker.state),
        "batching": timing.batching_pays or timing.slow,
        "seconds_one_row": timing.one,
    }
