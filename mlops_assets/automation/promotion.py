"""The job by which a person promotes a version. Who, and why, stands in the ledger."""

import dagster as dg
from pydantic import Field

from mlops_assets.domain.names import MODEL_TAG
from mlops_assets.domain.spec import ModelSpec
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.ledger import Ledger
from mlops_assets.resources.registry import Registry


class Approval(dg.Config):
    """What a person says when promoting."""

    version: str = Field(description="Number of the version in the registry.")
    approver: str = Field(min_length=1, description="Who decides.")
    reason: str = Field(min_length=1, description="Why. It cannot be changed afterwards.")


def promote_job_name(model: str) -> str:
    return f"{model}_promote"


def promotion_job(spec: ModelSpec) -> dg.JobDefinition:
    """Make a registered version the champion."""

    @dg.op(name=f"{spec.model}_promotion", description="Promotes the version and enters it in the ledger.")
    def promote(
        context: dg.OpExecutionContext, config: Approval, registry: Registry, ledger: Ledger, clock: Clock
    ) -> None:
        from mlops_assets.resources import promotion

        info = registry.version(spec.model, config.version)
        entry = promotion.promote(
            registry,
            ledger,
            model=spec.model,
            number=info.number,
            actor=config.approver,
            reason=config.reason,
            numbers={info.metric: info.score},
            now=clock.now(spec),
            anchor=spec.gates.anchor,
        )
        context.log.info(
            f"{spec.model} {info.semantic} (version {info.number}) is champion: ledger entry {entry.sequence}."
        )

    @dg.job(
        name=promote_job_name(spec.model),
        description=f"Promotes a registered version of {spec.model}; asks for version, approver and reason.",
        tags={MODEL_TAG: spec.model},
    )
    def job() -> None:
        promote()

    return job
