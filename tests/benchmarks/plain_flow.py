"""The lifecycle of flight_delay as a plain script: the same libraries, the same functions, no run, asset or event.

    python plain_flow.py <home> <first partition> <last partition>

What `bench_whole.py` compares Dagster with: every stage's work in its order, records handed on in memory. The
resources are classes of Dagster's, so its import (half a second) is on this side too.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.defs.resources import resources
from mlops_assets.domain.names import Layer
from mlops_assets.domain.partitions import Window, windows
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet
from mlops_assets.stages.common import PROJECT, feed_windows
from tests.kit.declared import declaration

DECLARATION = PROJECT / "mlops_assets" / "defs" / "flight_delay" / "defs.yaml"


def days(first: str, last: str) -> list[str]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + timedelta(days=number)).isoformat() for number in range((end - start).days + 1)]


class Flow:
    """One model on the resources under `home`."""

    def __init__(self, spec: ModelSpec, home: str) -> None:
        self.spec, self.now = spec, spec.replay or datetime.max
        self.at: dict[str, Any] = resources({"MLOPS_HOME": home})
        self.lake = self.at["lake"]

    def raw_data(self, asked: Sequence[Window]) -> None:
        import pyarrow as pa

        from mlops_assets.domain.data import intake
        from mlops_assets.resources.plots.data import draw_rows_by_partition

        source, counted = self.at["sources"].open(self.spec), {}
        for feed in self.spec.source.feeds.values():
            mine = feed_windows(feed, asked)
            pieces = source.read(feed.name, mine[0].start, mine[-1].end, self.now)
            parts = intake.split(pieces, mine, untyped=False)
            table = self.lake.table(self.spec.model, Layer.RAW, feed.name)
            rows = {each.partition: parts.get(each.partition, pa.table({})) for each in mine}
            snapshots = [table.write(name, part, now=self.now) for name, part in rows.items()]
            if len(mine) == len(asked):
                counted[feed.name] = [snapshot.rows for snapshot in snapshots]
        draw_rows_by_partition(counted, [each.partition for each in asked])

    def validated_data(self, asked: Sequence[Window]) -> None:
        from mlops_assets.stages.data.validated_data import partition_inputs, publish, validate_partition

        spec = self.spec
        feeds = [
            partition_inputs.read_inputs(spec, feed, feed_windows(feed, asked), self.lake)
            for feed in spec.source.feeds.values()
        ]
        assert partition_inputs.judge_columns(spec, feeds, accept=False).passed
        validated = [validate_partition.validate_feed(each, self.now) for each in feeds]
        frame, verdicts = publish.judge_feeds(spec, validated, self.now)
        assert all(each.passed for each in verdicts)
        publish.describe_run(validated, frame, asked)

    def features(self, asked: Sequence[Window]) -> None:
        from mlops_assets.stages.features import build_rows, publish

        store = self.at["features"]
        run = build_rows.FeatureRun(self.spec, asked, self.lake, self.now)
        written = publish.write_features(run, store)
        publish.bring_online(written, store, self.now)
        assert publish.compare_stores(run, written, store).passed

    def training_set(self) -> TrainingSet:
        from mlops_assets.domain.training_set.training_rows import divide, write_parts
        from mlops_assets.stages.training_set.join import join
        from mlops_assets.stages.training_set.prove import prove_no_future

        store = self.at["features"]
        joined = join(self.spec, self.lake, store, self.now)
        parts = divide(self.spec, joined.rows)
        record = joined.record(self.spec, parts)
        with tempfile.TemporaryDirectory() as aside:
            folder = Path(aside) / record.digest
            folder.mkdir()
            write_parts(parts.tables, folder)
            self.lake.publish(self.spec.model, Layer.TRAINING_SETS, record.digest, folder)
        assert prove_no_future(self.spec, joined, self.lake, store).passed
        return record

    def tables(self, training_set: TrainingSet) -> Any:
        from mlops_assets.stages.training.collect import read_training_set

        return read_training_set(training_set, self.lake, self.at["workspace"])

    def trained_model(self, training_set: TrainingSet) -> TrainedModel:
        from mlops_assets.domain.evaluation.metrics import metric_named
        from mlops_assets.domain.training_set.training_rows import plan_folds
        from mlops_assets.resources.plots.evaluation import learning_curve
        from mlops_assets.training.fits.task import Declared
        from mlops_assets.training.train import Progress, train

        spec, registry = self.spec, self.at["registry"]
        metric = metric_named(spec.gates.metric, spec.target.kind)
        declared = Declared(spec.network, spec.training, spec.search, spec.target.transform)
        place = self.at["workspace"].place(spec.model, "training")

        with registry.run(spec.model, "plain", key=f"plain:{training_set.digest}") as run:

            def trial(found: Any) -> None:
                key = f"{run.run_id}:{found.number}"
                with registry.run(spec.model, f"trial {found.number}", key=key, parent=run.run_id) as child:
                    child.params(found.values)
                    child.metrics({metric.name: found.score or 0.0})

            tables = self.tables(training_set)
            trained = train(
                training_set,
                tables,
                declared,
                metric=metric,
                root=place,
                folds=plan_folds(spec, tables, champion_until=None),
                progress=Progress(on_epoch=lambda epoch, metrics: run.metrics(metrics, step=epoch), on_trial=trial),
            )
            run.params(trained.parameters)
            run.dataset(name="training set", digest=training_set.digest, context="training", source={})
            run.figure("plots/learning_curve.png", learning_curve(trained.history))
            path = self.lake.publish_copy(spec.model, Layer.MODELS, trained.folder.name, trained.folder)
        return TrainedModel(
            spec.model,
            training_set.digest,
            run.run_id,
            trained.digest,
            path,
            dict(trained.parameters),
            trained.score,
            trained.metric,
            sum(map(len, tables.values())),
            training_set.as_of,
            trained.folds,
        )

    def serving_model(self, training_set: TrainingSet, trained: TrainedModel) -> ServingModel:
        from mlops_assets.domain.registry.model_card import bundle_card
        from mlops_assets.stages.training.serving_model.bundle import slice_masks
        from mlops_assets.training.assemble import assemble

        spec, bundles, tables = self.spec, self.at["bundles"], self.tables(training_set)
        made = assemble(
            self.lake.fetch(trained.path, self.at["workspace"].cache),
            training_set,
            tables,
            spec.serving,
            root=bundles.folder,
            commit="",
            card=bundle_card(spec, training_set, trained),
            slices=slice_masks(spec, tables),
        )
        parity = {name: float(difference.worst) for name, difference in made.slices[made.precision].items()}
        kept = bundles.keep(made.digest)
        return ServingModel(
            spec.model, kept, training_set.digest, trained.run_id, "", made.precision, made.measured, parity
        )

    def evaluation(self, training_set: TrainingSet, trained: TrainedModel, serving: ServingModel) -> Evaluation:
        from mlops_assets.stages.evaluation.compare import score_and_judge

        at, spec = self.at, self.spec
        contest = score_and_judge(
            spec,
            training_set,
            trained,
            serving,
            self.lake,
            at["bundles"],
            at["features"],
            at["registry"],
            at["workspace"],
        )
        run = at["registry"].reopen(spec.model, trained.run_id)
        run.text("evaluation/report.md", contest.markdown)
        run.text("evaluation/report.json", contest.report.as_json())
        for name, png in contest.plots.items():
            run.figure(f"plots/{name}.png", png)
        score = contest.report.evidence.score
        return Evaluation(
            spec.model,
            serving.bundle,
            training_set.digest,
            trained.run_id,
            contest.champion,
            contest.anchor,
            contest.folder,
            contest.report.metric,
            score.estimate,
            (score.low, score.high),
            contest.verdicts,
        )

    def registered_version(
        self, training_set: TrainingSet, trained: TrainedModel, serving: ServingModel, evaluation: Evaluation
    ) -> str:
        from mlops_assets.domain.registry.versions import CandidateRecords
        from mlops_assets.resources.registry import promotion
        from mlops_assets.stages.registry.collect import register_version

        spec, registry, ledger = self.spec, self.at["registry"], self.at["ledger"]
        made = CandidateRecords(training_set, trained, serving, evaluation)
        version = register_version(spec, made, registry=registry, bundles=self.at["bundles"], lake=self.lake)
        said = {"model": spec.model, "number": version.number, "actor": "plain script", "now": self.now}
        numbers = {evaluation.metric: evaluation.score}
        promotion.enter_registration(registry, ledger, **said, numbers=numbers)
        promotion.promote(registry, ledger, **said, reason="plain script", numbers=numbers, anchor=spec.gates.anchor)
        return version.semantic


def main(home: str, first: str, last: str) -> None:
    flow = Flow(declaration(DECLARATION), home)
    asked = windows(Every.DAY, days(first, last))
    flow.raw_data(asked)
    flow.validated_data(asked)
    flow.features(asked)
    training_set = flow.training_set()
    trained = flow.trained_model(training_set)
    serving = flow.serving_model(training_set, trained)
    evaluation = flow.evaluation(training_set, trained, serving)
    flow.registered_version(training_set, trained, serving, evaluation)
    print(json.dumps({"rows": training_set.rows, evaluation.metric: evaluation.score}))


if __name__ == "__main__":
    main(*sys.argv[1:])
