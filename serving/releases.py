"""What `GET /releases` tells: each model's arms, versions, digests and providers, and what is in the way of more."""

from typing import Any

from serving.models import Models, Served, Standing


def told_releases(models: Models, worker: str) -> dict[str, Any]:
    names = sorted({*models.served, *models.troubles})
    return {"worker": worker, "ready": models.ready, "models": {name: _model(models, name) for name in names}}


def _model(models: Models, name: str) -> dict[str, Any]:
    served, trouble = models.served.get(name), models.troubles.get(name)
    told: dict[str, Any] = _served(served) if served else {"generation": None}
    if trouble:
        told["not_served"] = {
            "generation": trouble.generation,
            "reason": trouble.reason,
            "attempts": trouble.attempts,
        }
    return told


def _served(served: Served) -> dict[str, Any]:
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


def _arm(arm: Standing) -> dict[str, Any]:
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
