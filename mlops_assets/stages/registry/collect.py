"""Says what the registry has to know of a finished bundle: what decides its version, and its origin."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel
from mlops_assets.domain.registry.versions import Candidate, VersionFacts

if TYPE_CHECKING:
    from serving.contract.bundle import Contract

_ARCHITECTURE = ("type", "width", "depth", "embedding", "bins")  # dropout and the rest change only the training
_OPTION = "network.options."


def build_candidate(
    spec: ModelSpec,
    trained: TrainedModel,
    serving: ServingModel,
    evaluation: Evaluation,
    contract: "Contract",
    tags: Mapping[str, str],
) -> Candidate:
    """The request to register this bundle."""
    return Candidate(
        model=spec.model,
        run_id=trained.run_id,
        bundle=serving.bundle,
        training_set=serving.training_set,
        facts=collect_facts(trained, contract),
        metric=evaluation.metric,
        score=evaluation.score,
        purpose=spec.purpose,
        tags={"owner": spec.owner, "precision": serving.precision.value, **tags},
    )


def collect_facts(trained: TrainedModel, contract: "Contract") -> VersionFacts:
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
