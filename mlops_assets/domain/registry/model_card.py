"""The model card: one Markdown page for a person who has to trust, use or answer for a version.

Texts that come from outside (declarations, data values) are escaped, so that none of them can break out of
its cell or bring in markup. The sections that are given as Markdown come from the evaluation report and keep
their tables.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.markdown import escaped_table
from mlops_assets.domain.records import Evaluation, FoldScore, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.registry.lineage import Provenance, rebuild_steps
from mlops_assets.domain.registry.versions import Bump, CandidateRecords, VersionFacts, VersionInfo

_SPECIAL = re.compile(r"([\\`*_\[\]|~!#])")
_LINE_START = re.compile(r"^(\s*)([-+>=]|\d+(?=[.)]\s))")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_HEADING = re.compile(r"^(#{1,6})(?=\s)", re.MULTILINE)


@dataclass(frozen=True)
class Registration:
    """What is known only at registration."""

    bump: Bump
    previous: VersionInfo | None
    provenance: Provenance
    sections: Mapping[str, str]  # title → Markdown of the evaluation report: slices, fairness, calibration …


def model_card(spec: ModelSpec, facts: VersionFacts, made: CandidateRecords, registration: Registration) -> str:
    """The card of a registered version."""
    training_set = made.training_set
    known = f"Rows known on {training_set.as_of:%Y-%m-%d %H:%M} UTC."
    return _page(
        _head(spec, f" {registration.bump.semantic}"),
        _data(spec, training_set, known),
        _features(training_set),
        _training(spec, made.trained),
        _evaluation(made.evaluation, registration.sections),
        _contract(spec, facts, made.serving),
        _limits(spec),
        _changes(registration, made),
        _reproduction(registration.provenance, made.trained.run_id),
    )


def bundle_card(spec: ModelSpec, training_set: TrainingSet, trained: TrainedModel) -> str:
    """The card inside a bundle: only what content decides, no run and no clock, so the digest stays."""
    return _page(
        _head(spec, ""),
        _data(spec, training_set, ""),
        _features(training_set),
        _training(spec, trained),
        ["## Evaluation", "Measured on the finished bundle: see the card of the registered version."],
        _limits(spec),
    )


def text(value: object) -> str:
    """A value as plain words of Markdown on one line: no markup, no HTML, no cell border."""
    flat = " ".join(_CONTROL.sub(" ", str(value)).split())
    return _LINE_START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", html.escape(flat, quote=False)))


def prose(value: str) -> str:
    """A text of several paragraphs, each escaped."""
    paragraphs = (text(part) for part in re.split(r"\n\s*\n", value))
    return "\n\n".join(part for part in paragraphs if part)


def code(value: object) -> str:
    """A name or digest in a code span that it cannot leave."""
    flat = " ".join(_CONTROL.sub(" ", str(value)).split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else "none"


def _page(*sections: Iterable[str]) -> str:
    return "\n\n".join(block for section in sections for block in section) + "\n"


def _head(spec: ModelSpec, version: str) -> Iterator[str]:
    yield f"# {text(spec.model)}{version}"
    yield prose(spec.purpose) or "No purpose was declared."
    yield f"Owner: {text(spec.owner)}. Predicts {code(spec.target.column)} ({spec.target.kind})."


def _data(spec: ModelSpec, training_set: TrainingSet, known: str) -> Iterator[str]:
    yield "## Data"
    after = spec.target.known_after
    known_when = f"{after} after the event".replace(", 0:00:00", "") if after else "as soon as its row arrives"
    if spec.target.absent:
        known_when = f"{known_when}; no value means {spec.target.absent}"
    yield (
        f"{known} Examples come from the feed {code(spec.source.examples)}, the target from "
        f"{code(spec.target.feed)}; its value is known {known_when}."
    ).strip()
    rows = []
    for part, count in training_set.rows.items():
        window = training_set.boundaries.get(part)
        ends = [f"{moment:%Y-%m-%d %H:%M}" for moment in window] if window else ["none", "none"]
        rows.append([text(part), f"{count:,}", *ends])
    yield escaped_table(["part", "rows", "first event", "last event"], rows)
    yield f"Training set {code(training_set.digest)}, made from {len(training_set.partitions):,} partitions."


def _features(training_set: TrainingSet) -> Iterator[str]:
    yield "## Features"
    entity = ", ".join(code(key) for key in training_set.entity) or "the row itself"
    yield f"Feature service {code(training_set.service)}, looked up by {entity}."
    inputs = training_set.inputs
    yield f"Numbers ({len(inputs.numbers)}): {', '.join(map(code, inputs.numbers)) or 'none'}."
    yield f"Categories ({len(inputs.categories)}): {', '.join(map(code, inputs.categories)) or 'none'}."


def _training(spec: ModelSpec, trained: TrainedModel) -> Iterator[str]:
    yield "## Training"
    yield (
        f"Network {code(spec.network.type)}, seed {spec.training.seed}. On the validation part: "
        f"{text(trained.metric)} {trained.validation_score:.4f}. Weights {code(trained.digest)}."
    )
    until = f", the latest of {trained.learnt_until:%Y-%m-%d %H:%M} UTC" if trained.learnt_until else ""
    yield f"The weights have learnt {trained.learnt:,} rows{until}."
    if trained.folds:
        yield "Models that scored the test rows, none of which they had learnt:"
        yield escaped_table(
            ["rows learnt", "rows scored", "from", "to", text(trained.metric)], map(_fold, trained.folds)
        )
    rows = [[code(name), text(value)] for name, value in sorted(trained.parameters.items())]
    if rows:
        yield escaped_table(["parameter", "value"], rows)


def _fold(fold: FoldScore) -> list[str]:
    ends = [f"{moment:%Y-%m-%d %H:%M}" if moment else "none" for moment in (fold.first, fold.last)]
    return [f"{fold.learnt:,}", f"{fold.rows:,}", *ends, "none" if fold.score is None else f"{fold.score:.4f}"]


def _evaluation(evaluation: Evaluation, sections: Mapping[str, str]) -> Iterator[str]:
    low, high = evaluation.interval
    yield "## Evaluation"
    yield (
        f"On the test part: {text(evaluation.metric)} **{evaluation.score:.4f}** "
        f"(interval {low:.4f} to {high:.4f}). Compared with champion {text(evaluation.champion or 'none')} "
        f"and anchor {text(evaluation.anchor or 'none')}."
    )
    rows = [[text(v.name), v.outcome.value, text(v.reason)] for v in evaluation.verdicts]
    yield escaped_table(["gate", "outcome", "why"], rows)
    for title, markdown in sections.items():
        yield f"### {text(title)}"
        yield _embedded(markdown)


def _contract(spec: ModelSpec, facts: VersionFacts, serving: ServingModel) -> Iterator[str]:
    yield "## Serving contract"
    fields = [[code(name), text(kind), "in"] for name, kind in facts.inputs.items()]
    fields += [[code(name), text(kind), "out"] for name, kind in facts.outputs.items()]
    yield escaped_table(["field", "type", "direction"], fields)
    if facts.classes:
        yield f"Classes, in order: {', '.join(map(code, facts.classes))}."
    yield (
        f"Any input may be missing. A number outside what training saw: {text(spec.serving.out_of_range)}. "
        f"Budget for one row: {spec.serving.latency_ms:g} ms."
    )
    yield f"Bundle {code(serving.bundle)}, precision {serving.precision}."
    yield escaped_table(
        ["precision", "taken", "bytes", "one row, ms", "largest difference", "why"], _precisions(serving)
    )


def _precisions(serving: ServingModel) -> Iterator[list[str]]:
    for one in serving.measured:
        taken = "yes" if one.precision == serving.precision else "no"
        numbers = [f"{one.bytes:,}", f"{one.single_row_ms:.3f}", f"{one.worst_difference:.2g}"]
        yield [one.precision.value, taken, *numbers, text(one.reason)]


def _limits(spec: ModelSpec) -> Iterator[str]:
    yield "## Limits"
    yield prose(spec.limits) or "None were declared."
    yield "## Ethical notes"
    yield prose(spec.ethics) or "None were declared."
    if spec.fairness.attributes:
        yield f"Compared between groups of {', '.join(map(code, spec.fairness.attributes))}."


def _changes(registration: Registration, made: CandidateRecords) -> Iterator[str]:
    bump, previous, evaluation = registration.bump, registration.previous, made.evaluation
    yield "## Changes"
    yield f"Since {bump.previous} ({bump.change}):" if bump.previous else "The first version."
    if previous is None:
        return
    lines = [f"- {text(reason)}" for reason in bump.reasons]
    if previous.training_set != made.training_set.digest:
        lines.append(f"- training set {code(previous.training_set)} → {code(made.training_set.digest)}")
    lines.append(
        f"- {text(previous.metric)} {previous.score:.4f} → {text(evaluation.metric)} {evaluation.score:.4f}, "
        "each on the test rows of its own time"
    )
    yield "\n".join(lines)


def _reproduction(record: Provenance, run_id: str) -> Iterator[str]:
    yield "## How to make it again"
    environment = record.surroundings
    yield escaped_table(
        ["what", "value"],
        [
            ["MLflow run", code(run_id)],
            ["git commit", code(environment.commit or "unknown")],
            ["code", code(environment.code)],
            ["declaration", code(record.declared)],
            ["training set", code(record.training_set)],
            ["seed", code(record.seed)],
            ["Python", code(f"{environment.python} on {environment.platform}")],
            ["packages", f"{len(environment.packages)}, pinned in {code('provenance.json')} beside this card"],
        ],
    )
    yield "\n".join(["```sh", *(step.replace("```", "") for step in rebuild_steps(record)), "```"])


def _embedded(markdown: str) -> str:
    """Markdown of the report below a heading of the card: no HTML, no heading above it."""
    plain = _CONTROL.sub(" ", markdown).replace("<", "&lt;")
    return _HEADING.sub(lambda found: "#" * min(6, len(found[1]) + 3), plain).strip()
