"""deployed_endpoint: a version as a Bento that was seen to serve, and released as the declared strategy says.

Each later step of its rollout is a materialisation of this asset too; `automation/release_jobs.py` makes them.
"""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import Version
from mlops_assets.domain.release.serving_checks import ServingCheck, find_obstacles
from mlops_assets.resources.release.deployment import DecidedBy
from mlops_assets.resources.release.tools import ReleaseTools
from mlops_assets.stages.common import asset_key, check_result, check_spec, retried_on_infrastructure, stage_asset
from mlops_assets.stages.release.start import (
    build_metadata,
    demand_passed,
    find_reason_to_wait,
    start_release,
    try_version,
)
from serving.contract.arms import Strategy

_ACTOR = "gates"


def deployed_endpoint(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, deployed_endpoint]`, with a check for each thing that its trial shows."""

    @stage_asset(
        spec,
        Stage.DEPLOYED_ENDPOINT,
        "bentoml",
        ins={Stage.REGISTERED_VERSION.value: dg.AssetIn(asset_key(spec.model, Stage.REGISTERED_VERSION))},
        check_specs=[check_spec(spec, Stage.DEPLOYED_ENDPOINT, check.value) for check in ServingCheck],
        description="The release in force: which versions answer, with what share, from which Bento, on what evidence.",
    )
    def asset(
        registered_version: Version, release_tools: ReleaseTools
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        deployment = release_tools.deployment
        with retried_on_infrastructure():
            version = deployment.version(spec.model, registered_version.number)
            proof = try_version(spec, version, release_tools)
        at_once = spec.rollout.strategy is Strategy.BLUE_GREEN
        stopping = find_obstacles(proof.verdicts, all_at_once=at_once)
        yield from (check_result(verdict, blocking=verdict in stopping) for verdict in proof.verdicts)
        demand_passed(spec, version, proof.verdicts, all_at_once=at_once)
        waits = find_reason_to_wait(spec, version, deployment)
        with retried_on_infrastructure():
            told = DecidedBy(_ACTOR, "it passed every gate, and its Bento serves", proof.numbers)
            done = (
                None
                if waits
                else start_release(spec, version, proof, spec.rollout.strategy, told=told, tools=release_tools)
            )
        yield dg.MaterializeResult(
            metadata=build_metadata(done, proof, waits),
            data_version=dg.DataVersion(f"{version.bundle[:16]}:{done.state.generation if done else 'waits'}"),
            tags={"mlops/version": version.semantic},
        )

    return asset
