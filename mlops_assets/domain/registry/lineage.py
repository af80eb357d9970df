"""What made a version, as one record, and whether the present could make it again. Reads no files, no git."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.registry.versions import CandidateRecords


@dataclass(frozen=True)
class ProcessEnvironment:
    """The code and environment of a process."""

    commit: str  # git; "+changes" behind it where files differ from the commit; empty: not known
    code: str  # digest of the sources that training and serving run
    python: str
    platform: str
    packages: Mapping[str, str]  # name → version


@dataclass(frozen=True)
class Provenance:
    """Everything needed to make a version again."""

    model: str
    declared: str  # digest of the YAML
    service: str
    training_set: str
    partitions: Mapping[str, str]  # "layer/table/partition" → digest
    parameters: Mapping[str, float | int | str | bool]
    seed: int
    weights: str  # digest
    bundle: str  # digest
    surroundings: ProcessEnvironment


@dataclass(frozen=True)
class Mismatch:
    """One thing that is not now what it was then."""

    what: str
    recorded: str
    present: str
    remedy: str


def build_provenance(spec: ModelSpec, made: CandidateRecords, environment: ProcessEnvironment) -> Provenance:
    """The record of one version, made where it is registered."""
    return Provenance(
        model=spec.model,
        declared=spec.declared,
        service=made.training_set.service,
        training_set=made.training_set.digest,
        partitions=dict(made.training_set.partitions),
        parameters=dict(made.trained.parameters),
        seed=spec.training.seed,
        weights=made.trained.digest,
        bundle=made.serving.bundle,
        surroundings=environment,
    )


_REMEDIES: Mapping[str, str] = {
    "model": "compare versions of the same model",
    "declared": "check out the recorded commit: the model's defs.yaml has changed",
    "service": "apply the recorded feature service from the recorded commit",
    "training_set": "rebuild training_set from the recorded partitions",
    "seed": "set training.seed to the recorded value",
    "weights": "train again from the recorded training set, parameters and seed",
    "bundle": "export again from the recorded weights",
    "commit": "git checkout the recorded commit (a commit with changes cannot be rebuilt from git alone)",
    "code": "git checkout the recorded commit and drop local changes",
    "python": "use the recorded Python",
    "platform": "use the recorded platform; others may differ in the last bits",
}


def compare(recorded: Provenance, present: Provenance) -> tuple[Mismatch, ...]:
    """Every difference at once, each with what to do. Empty: the version can be made again, bit for bit."""
    return tuple(_differences(recorded, present))


def explain(mismatches: tuple[Mismatch, ...]) -> str:
    """The differences as a text for a person."""
    if not mismatches:
        return "The present matches the record: the version can be rebuilt bit for bit."
    lines = [f"- {m.what}: recorded {m.recorded}, now {m.present}. {m.remedy}." for m in mismatches]
    return "\n".join([f"{len(mismatches)} differences from the record:", *lines])


def rebuild_steps(record: Provenance) -> tuple[str, ...]:
    """The commands that make the version again."""
    stages = ("training_set", "trained_model", "serving_model")
    selection = " or ".join(f'key:"{record.model}/{stage}"' for stage in stages)
    return (
        f"git checkout {record.surroundings.commit.partition('+')[0] or '<the commit of this record>'}",
        "pip install -r requirements.lock -e .",
        f"dagster asset materialize -m mlops_assets.definitions --select '{selection}'",
    )


def _differences(old: Provenance, new: Provenance) -> Iterator[Mismatch]:
    for field in ("model", "declared", "service", "training_set", "seed", "weights", "bundle"):
        yield from _difference(field, getattr(old, field), getattr(new, field), _REMEDIES[field])
    if not old.surroundings.commit:
        yield Mismatch("commit", "unknown", new.surroundings.commit or "unknown", "register from a git checkout")
    for field in ("commit", "code", "python", "platform"):
        before, now = getattr(old.surroundings, field), getattr(new.surroundings, field)
        yield from _difference(field, before, now, _REMEDIES[field])
    yield from _mapping_differences(
        "partition", old.partitions, new.partitions, lambda name: f"restore or materialise {name} as it was"
    )
    yield from _mapping_differences(
        "parameter", old.parameters, new.parameters, lambda name: f"declare {name} as recorded"
    )
    yield from _mapping_differences(
        "package",
        old.surroundings.packages,
        new.surroundings.packages,
        lambda name: "install the recorded version",
    )


def _mapping_differences(
    what: str, old: Mapping[str, object], new: Mapping[str, object], remedy: Callable[[str], str]
) -> Iterator[Mismatch]:
    for name in sorted(old.keys() | new.keys()):
        yield from _difference(f"{what} {name}", old.get(name, "nothing"), new.get(name, "nothing"), remedy(name))


def _difference(what: str, old: object, new: object, remedy: str) -> Iterator[Mismatch]:
    if old != new:
        yield Mismatch(what, str(old) or "unknown", str(new) or "unknown", remedy)
