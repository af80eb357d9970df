"""Registers a finished bundle: what decides its version, what made it, and its card."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.records import TrainedModel, Version
from mlops_assets.domain.registry.lineage import build_provenance
from mlops_assets.domain.registry.model_card import Registration, model_card
from mlops_assets.domain.registry.versions import (
    LEARNT_ROWS,
    LEARNT_UNTIL,
    Bump,
    Candidate,
    CandidateRecords,
    VersionFacts,
    VersionInfo,
)
from mlops_assets.resources.lake.files import read_json
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.registry.provenance import read_environment
from mlops_assets.stages.common import PROJECT
from serving.contract.bundle import Contract

_ARCHITECTURE = ("type", "width", "depth", "embedding", "bins")  # dropout and the rest change only the training
_OPTION = "network.options."


def register_version(
    spec: ModelSpec, made: CandidateRecords, *, registry: Registry, bundles: Bundles, lake: Lake
) -> Version:
    """The version of this candidate in the registry, with its card and its provenance."""
    bundle = bundles.open(made.serving.bundle)
    provenance = build_provenance(spec, made, read_environment(PROJECT))
    candidate = build_candidate(spec, made, bundle.contract)
    sections = read_json(lake.place(f"{made.evaluation.report}/sections.json"))

    def write_card(bump: Bump, previous: VersionInfo | None) -> str:
        return model_card(spec, candidate.facts, made, Registration(bump, previous, provenance, sections))

    return registry.register(candidate, bundle.path, provenance, write_card)


def build_candidate(
    spec: ModelSpec, made: CandidateRecords, contract: Contract, tags: Mapping[str, str] = MappingProxyType({})
) -> Candidate:
    """The request to register this bundle."""
    trained, serving, evaluation = made.trained, made.serving, made.evaluation
    return Candidate(
        model=spec.model,
        run_id=trained.run_id,
        bundle=serving.bundle,
        training_set=serving.training_set,
        facts=collect_facts(trained, contract),
        metric=evaluation.metric,
        score=evaluation.score,
        purpose=spec.purpose,
        tags={
            "owner": spec.owner,
            "precision": serving.precision.value,
            LEARNT_ROWS: str(trained.learnt),
            **({LEARNT_UNTIL: trained.learnt_until.isoformat()} if trained.learnt_until else {}),
            **tags,
        },
    )


def collect_facts(trained: TrainedModel, contract: Contract) -> VersionFacts:
    """Contract and architecture as they are; what a search chose counts, not what was declared."""
    return VersionFacts(
        kind=contract.kind,
        inputs={field.name: field.type for field in contract.fields},
        outputs={output.name: _output_type(output.size) for output in contract.outputs},
        classes=contract.classes,
        entity=contract.entity,
        service=contract.feature_service,
        network=dict(_network(trained)),
    )


def _network(trained: TrainedModel) -> Iterator[tuple[str, str | int | float | bool]]:
    for name in _ARCHITECTURE:
        yield name, trained.parameters[f"network.{name}"]
    for name, value in sorted(trained.parameters.items()):
        if name.startswith(_OPTION):
            yield f"option {name.removeprefix(_OPTION)}", str(value)


def _output_type(size: int) -> str:
    return "number" if size == 1 else f"{size} numbers"
