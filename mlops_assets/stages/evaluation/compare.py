"""Holds the contest of a candidate against earlier versions and baselines. Imported only inside the asset's body."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.comparison import Contenders, Opponent
from mlops_assets.domain.evaluation.gates import judge
from mlops_assets.domain.evaluation.intervals import blocks_of, central
from mlops_assets.domain.evaluation.report import EvaluationReport, HeldOut, build_report
from mlops_assets.domain.evaluation.report_text import markdown, sections
from mlops_assets.domain.evaluation.robustness import EvaluatedRows
from mlops_assets.domain.names import EVENT_TIME, LABEL, Alias, Layer
from mlops_assets.domain.records import Compressed, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.training_set.training_rows import read_parts
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.checks.fairness import assess
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.plots import evaluation as plots
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.training.store import load_baselines, read_result
from serving.contract.bundle import Bundle, Session
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
    tables = read_parts(lake.fetch(f"{spec.model}/{Layer.TRAINING_SETS}/{training_set.digest}", workspace.cache))
    folder = lake.fetch(trained.path, workspace.cache)
    held_out = _held_out(spec, training_set, tables)
    bundle = bundles.open(serving.bundle)
    session = bundle.session(spec.serving.provider)  # where it will be served, or an error
    opponents = _Opponents(spec, serving.bundle, tables["test"], bundles, features, registry, workspace)
    contenders = Contenders(
        candidate=session.predict(held_out.rows.numbers, held_out.rows.categories),
        champion=opponents.at(Alias.CHAMPION),
        anchor=opponents.at(Alias.ANCHOR),
        baselines=load_baselines(folder, "test"),
    )
    report = _report(spec, serving, held_out, contenders, session)
    verdicts = judge(spec.gates, report.evidence)
    drawn = plots.draw(
        report,
        held_out.rows.labels,
        contenders.scored(),
        classes=training_set.classes,
        history=read_result(folder).history,
    )
    kept = _publish_report(lake, spec, serving, report, verdicts, drawn)
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
    return HeldOut(rows, test, tables["train"], blocks_of(test[EVENT_TIME].to_numpy(), groups))


def _report(
    spec: ModelSpec, serving: ServingModel, held_out: HeldOut, contenders: Contenders, session: Session
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
        rng=rng,
    )


def _served(serving: ServingModel) -> Compressed:
    return next(each for each in serving.measured if each.precision is serving.precision)


@dataclass(frozen=True, eq=False)
class _Opponents:
    """Earlier versions, each scored with its own bundle on the candidate's rows."""

    spec: ModelSpec
    candidate: str  # bundle
    test: pa.Table
    bundles: Bundles
    features: FeatureStore
    registry: Registry
    workspace: Workspace

    def at(self, alias: Alias) -> Opponent | None:
        """The version an alias points to; None where there is none yet."""
        number = self.registry.resolve(self.spec.model, alias)
        if number is None:
            return None
        info = self.registry.version(self.spec.model, number)
        if info.bundle == self.candidate:
            return Opponent(number, None, same=True)
        path = self.bundles.path(info.bundle)
        if not path.is_dir():
            path = self.registry.fetch_bundle(self.spec.model, number, self.workspace.cache)
        from serving.contract.bundle import open_bundle

        return self._scored(number, open_bundle(path))

    def _scored(self, number: str, bundle: Bundle) -> Opponent:
        contract = bundle.contract
        if Kind(contract.kind) is not self.spec.target.kind:
            return Opponent(
                number,
                None,
                f"it answers a {contract.kind} question, the candidate a {self.spec.target.kind} one",
            )
        names = [*contract.numbers, *contract.categories]
        rows = self.test
        if missing := [name for name in names if name not in rows.column_names]:
            rows = self._with_its_features(contract.feature_service, missing)
        return Opponent(number, bundle.predict(*pack_table(rows, contract.numbers, contract.categories)))

    def _with_its_features(self, service: str, missing: list[str]) -> pa.Table:
        """The same rows with the features of the version's own service."""
        entities = self.test.drop_columns([LABEL])
        joined = self.features.training_frame(service, entities.select(self._entity_columns(entities)))
        absent = [name for name in missing if name not in joined.column_names]
        if absent:
            raise LookupError(f"feature service {service} no longer brings {', '.join(absent)}; restore it to compare")
        return joined

    def _entity_columns(self, rows: pa.Table) -> list[str]:
        inputs = set(self.spec.features.columns)
        return [name for name in rows.column_names if name not in inputs]


def _publish_report(
    lake: Lake,
    spec: ModelSpec,
    serving: ServingModel,
    report: EvaluationReport,
    verdicts: tuple[Verdict, ...],
    drawn: Mapping[str, bytes],
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
        for name, png in drawn.items():
            (folder / f"{name}.png").write_bytes(png)
        return lake.publish(spec.model, Layer.EVALUATIONS, f"{serving.bundle}-{compared}", folder)
