"""Holds the contest of a candidate against earlier versions and baselines. Imported only inside the asset's body."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.comparison import Contenders
from mlops_assets.domain.evaluation.evidence import RefitEvidence
from mlops_assets.domain.evaluation.gates import judge
from mlops_assets.domain.evaluation.intervals import blocks_of, central
from mlops_assets.domain.evaluation.refit.compare import compare_refit
from mlops_assets.domain.evaluation.report import EvaluationReport, HeldOut, basis_of, build_report
from mlops_assets.domain.evaluation.report_text import markdown, sections
from mlops_assets.domain.evaluation.robustness import EvaluatedRows
from mlops_assets.domain.names import EVENT_TIME, LABEL, Alias, Layer
from mlops_assets.domain.records import Compressed, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.training_set.training_rows import returning_rows
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.checks.fairness import assess
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.plots import evaluation as plots
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.evaluation.kept_answers import write_answers
from mlops_assets.stages.evaluation.opponents import Opponents
from mlops_assets.stages.training.collect import read_training_set
from mlops_assets.training.store import load_baselines, load_out_of_time, read_result
from serving.contract.bundle import Session
from serving.contract.encoding import pack_table


@dataclass(frozen=True, eq=False)
class JudgedCandidate:
    """What came out: the report, the verdicts, the plots, and where they are kept."""

    report: EvaluationReport
    verdicts: tuple[Verdict, ...]
    markdown: str
    plots: Mapping[str, bytes]
    champion: str | None
    anchor: str | None
    folder: str  # relative to the lake


def score_and_judge(
    spec: ModelSpec,
    training_set: TrainingSet,
    trained: TrainedModel,
    serving: ServingModel,
    lake: Lake,
    bundles: Bundles,
    features: FeatureStore,
    registry: Registry,
    workspace: Workspace,
) -> JudgedCandidate:
    """Score everybody on the test rows, report, judge, and keep the report."""
    tables = read_training_set(training_set, lake, workspace)
    folder = lake.fetch(trained.path, workspace.cache)
    held_out = _held_out(spec, training_set, tables)
    bundle = bundles.open(serving.bundle)
    session = bundle.session(spec.serving.provider)  # where it will be served, or an error
    served = session.predict(held_out.rows.numbers, held_out.rows.categories)
    scored = load_out_of_time(folder)
    opponents = Opponents(
        spec, serving.bundle, training_set.classes, tables["test"], lake, bundles, features, registry, workspace
    )
    contenders = Contenders(
        candidate=served if scored is None else scored[0],
        champion=opponents.at(Alias.CHAMPION),
        anchor=opponents.at(Alias.ANCHOR),
        baselines=load_baselines(folder),
    )
    refit = None if scored is None else compare_refit(basis_of(spec, held_out), served, *scored)
    report = _report(spec, serving, held_out, contenders, session, refit)
    verdicts = judge(spec.gates, report.evidence)
    drawn = plots.draw(
        report,
        held_out.rows.labels,
        contenders.scored_everywhere(),
        classes=training_set.classes,
        history=read_result(folder).history,
    )
    kept = _publish_report(lake, spec, serving, report, verdicts, drawn, (tables["test"], contenders.candidate))
    versions = contenders.versions()
    return JudgedCandidate(
        report,
        verdicts,
        markdown(report, verdicts),
        drawn,
        versions.get("champion"),
        versions.get("anchor"),
        kept,
    )


def _held_out(spec: ModelSpec, training_set: TrainingSet, tables: Mapping[str, pa.Table]) -> HeldOut:
    test, group = tables["test"], spec.training.group
    groups = test[group].to_numpy(zero_copy_only=False) if group else None
    numbers, categories = pack_table(test, training_set.inputs.numbers, training_set.inputs.categories)
    rows = EvaluatedRows(training_set.inputs, numbers, categories, test[LABEL].to_numpy())
    blocks = blocks_of(test[EVENT_TIME].to_numpy(), groups)
    return HeldOut(rows, test, tables["train"], blocks, returning_rows(spec, tables))


def _report(
    spec: ModelSpec,
    serving: ServingModel,
    held_out: HeldOut,
    contenders: Contenders,
    session: Session,
    refit: RefitEvidence | None,
) -> EvaluationReport:
    rng = np.random.default_rng(spec.training.seed)
    fairness = assess(
        spec.fairness,
        spec.target.kind,
        held_out.rows.labels,
        contenders.candidate,
        columns=held_out.columns,
        level=central(spec.gates.confidence),
        rng=rng,
        blocks=held_out.blocks,
        threshold=session.contract.threshold or 0.5,
    )
    return build_report(
        spec,
        held_out,
        contenders,
        predict=session.predict,
        served=_served(serving),
        parity=serving.parity,
        fairness=fairness,
        refit=refit,
        rng=rng,
    )


def _served(serving: ServingModel) -> Compressed:
    return next(each for each in serving.measured if each.precision is serving.precision)


def _publish_report(
    lake: Lake,
    spec: ModelSpec,
    serving: ServingModel,
    report: EvaluationReport,
    verdicts: tuple[Verdict, ...],
    drawn: Mapping[str, bytes],
    answered: tuple[pa.Table, np.ndarray],
) -> str:
    """A folder in the lake, named by the bundle and by what it was compared with."""
    compared = "-".join(
        str(name or "none") for name in (report.evidence.champion.version, report.evidence.anchor.version)
    )
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / "report"
        folder.mkdir()
        (folder / "report.json").write_text(report.as_json())
        (folder / "sections.json").write_text(json.dumps(sections(report)))
        (folder / "report.md").write_text(markdown(report, verdicts))
        write_answers(folder, spec, *answered)
        for name, png in drawn.items():
            (folder / f"{name}.png").write_bytes(png)
        return lake.publish(spec.model, Layer.EVALUATIONS, f"{serving.bundle}-{compared}", folder)
