"""Looks up the version that answered: its score at evaluation, and an estimator fitted on its test rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.metrics import UnmeasurableError
from mlops_assets.domain.names import LABEL, training_set_path
from mlops_assets.domain.quality.estimator import HeldOutRows, QualityEstimator, fit_estimator
from mlops_assets.domain.quality.inputs import ServedVersion
from mlops_assets.domain.traffic.labelled_rows import thin_rows
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.resources.lake.files import read_json
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.evaluation.kept_answers import fetch_answers, find_evaluation, read_answers
from serving.contract.bundle import Bundle, CorruptBundleError
from serving.contract.encoding import pack_table

_TESTED = 100_000  # rows of the evaluation that an estimator is fitted on
_SHORT = 12  # characters of a digest


@dataclass(frozen=True)
class VersionReferences:
    """Looks up versions by their bundle."""

    spec: ModelSpec
    lake: Lake
    bundles: Bundles
    workspace: Workspace

    def opened(self, digest: str) -> Bundle | None:
        """The bundle; None where it is missing or does not match its digest."""
        try:
            return self.bundles.open(digest)
        except (FileNotFoundError, CorruptBundleError):
            return None

    def version(self, name: str, digest: str) -> ServedVersion:
        """Read what is known of the version; `problems` names the reason for every gap."""
        bundle = self.opened(digest)
        if bundle is None:
            why = f"bundle {digest[:_SHORT]} is missing, so its answers cannot be judged: fetch it from the registry"
            return ServedVersion(name, digest, None, None, {}, (), None, None, (why,))
        problems: list[str] = []
        baseline = self._baseline(digest, problems)
        estimator = self._estimator(bundle, problems)
        judged = LabelSpace.of(bundle.contract, bundle.profile)
        return ServedVersion(
            name=name,
            bundle=digest,
            judged=judged,
            threshold=bundle.contract.threshold,
            profile=bundle.profile,
            numbers=bundle.contract.numbers,
            baseline=baseline,
            estimator=estimator,
            problems=tuple(problems),
        )

    def _baseline(self, digest: str, problems: list[str]) -> Interval | None:
        """Read the primary metric from the report of the evaluation."""
        metric = self.spec.gates.metric
        found = find_evaluation(self.lake, self.spec.model, digest)
        if found is None:
            problems.append(f"no evaluation of bundle {digest[:_SHORT]} is in the lake")
            return None
        report = read_json(f"{self.lake.root.rstrip('/')}/{found}/report.json")
        if report["metric"] == metric:
            return Interval(**report["evidence"]["score"])  # what the gates judged
        for each in report["scores"]:
            if each["contender"] == "candidate" and each["metric"] == metric:
                return Interval(**each["interval"])
        problems.append(f"the evaluation of bundle {digest[:_SHORT]} did not measure {metric}")
        return None

    def _estimator(self, bundle: Bundle, problems: list[str]) -> QualityEstimator | None:
        try:
            return fit_estimator(self.spec.target.kind, self.spec.gates.metric, self._held(bundle))
        except (FileNotFoundError, UnmeasurableError) as err:
            problems.append(f"{self.spec.gates.metric} cannot be estimated before labels: {err}")
            return None

    def _held(self, bundle: Bundle) -> HeldOutRows:
        """The test rows of the version's own training set, with answers of models that had not learnt them."""
        contract = bundle.contract
        where = training_set_path(self.spec.model, contract.training_set)
        whole = pq.read_table(self.lake.fetch(where, self.workspace.cache) / "test.parquet")
        kept = fetch_answers(self.lake, self.workspace, self.spec.model, bundle.digest)
        test = thin_rows(whole, _TESTED)
        numbers, categories = pack_table(test, contract.numbers, contract.categories)
        if kept is not None:
            answers: Any = read_answers(thin_rows(kept, _TESTED))
        elif bundle.profile.get("scores", {}).get("out_of_time"):
            raise FileNotFoundError("it has learnt its test rows, and the answers of its folds are not in the lake")
        else:
            answers = np.asarray(bundle.predict(numbers, categories), dtype=np.float64)
        return HeldOutRows(test[LABEL].to_numpy().astype(np.float64), answers, np.asarray(numbers, dtype=np.float64))
