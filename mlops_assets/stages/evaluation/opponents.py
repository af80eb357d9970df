"""Scores earlier versions on the candidate's test rows, each row by what had not learnt it. Judges nothing.

Rows after the latest one that a version has learnt are answered by the version as it is served. Where these are too
few, earlier rows come in with the answers that the version's own evaluation kept: those of models that had not learnt
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.comparison import Opponent
from mlops_assets.domain.names import EVENT_TIME, LABEL, Alias
from mlops_assets.domain.registry.versions import VersionInfo
from mlops_assets.domain.training_set.asof_keys import KeyCodes
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.evaluation.kept_answers import fetch_answers, identify_rows, read_answers
from serving.contract.bundle import Bundle, open_bundle
from serving.contract.encoding import pack_table


@dataclass(frozen=True, eq=False)
class Opponents:
    """Earlier versions, each scored with its own bundle on the candidate's rows."""

    spec: ModelSpec
    candidate: str  # bundle
    classes: tuple[str, ...]  # of the candidate
    test: pa.Table
    lake: Lake
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
        return self._scored(info, open_bundle(path))

    def _scored(self, info: VersionInfo, bundle: Bundle) -> Opponent:
        contract = bundle.contract
        if Kind(contract.kind) is not self.spec.target.kind:
            return Opponent(
                info.number,
                None,
                f"it answers a {contract.kind} question, the candidate a {self.spec.target.kind} one",
            )
        newer = self._newer(info)
        if newer.all():
            return Opponent(info.number, self._answers(bundle))
        if newer.sum() >= self.spec.gates.minimum_rows:
            basis = f"the {newer.sum():,} rows after {info.learnt_until:%Y-%m-%d %H:%M}, which it has not learnt"
            return Opponent(info.number, self._answers(bundle), compared=newer, basis=basis)
        return self._with_its_own_answers(info, bundle, newer)

    def _with_its_own_answers(self, info: VersionInfo, bundle: Bundle, newer: np.ndarray) -> Opponent:
        """Few rows are new to the version: those that it has learnt are answered by the models of its evaluation."""
        kept = fetch_answers(self.lake, self.workspace, self.spec.model, info.bundle)
        if kept is None:
            until, why = f"{info.learnt_until:%Y-%m-%d %H:%M}", "its evaluation is not in the lake"
            problem = f"it has learnt up to {until}; {newer.sum():,} test rows are newer, and {why}"
            return Opponent(info.number, None, problem)
        scores = self._answers(bundle)
        places = self._places(kept)
        old = ~newer & (places >= 0)
        scores = scores.astype(np.float64)
        scores[old] = align_classes(read_answers(kept)[places[old]], bundle.contract.classes, self.classes)
        basis = (
            f"{newer.sum():,} rows that it has not learnt and {old.sum():,} that its own test had, "
            "answered by the models of that test"
        )
        return Opponent(info.number, scores, compared=newer | old, basis=basis)

    def _newer(self, info: VersionInfo) -> np.ndarray:
        """Which rows the version has not learnt; all of them where how far it has learnt is not recorded."""
        if info.learnt_until is None:
            return np.ones(len(self.test), dtype=bool)
        times = self.test[EVENT_TIME]
        known = info.learnt_until + self.spec.training.gap  # labels up to there were known when it learnt
        return pc.greater(times, pa.scalar(known, times.type)).to_numpy(zero_copy_only=False)

    def _places(self, kept: pa.Table) -> np.ndarray:
        """The position of each test row among the kept ones, or -1."""
        sought = identify_rows(self.spec, self.test)
        if not set(sought) <= set(kept.column_names):  # kept under another key
            return np.full(len(self.test), -1)
        codes = KeyCodes([kept[name] for name in sought], len(kept))
        places = np.full(codes.count + 1, -1)
        places[codes.of_rows] = np.arange(len(kept))
        places[-1] = -1  # a key that is not there
        return places[codes.of(list(sought.values()), len(self.test))]

    def _answers(self, bundle: Bundle) -> np.ndarray:
        contract = bundle.contract
        names = [*contract.numbers, *contract.categories]
        rows = self.test
        if missing := [name for name in names if name not in rows.column_names]:
            rows = self._with_its_features(contract.feature_service, missing)
        scores = bundle.predict(*pack_table(rows, contract.numbers, contract.categories))
        return align_classes(scores, contract.classes, self.classes)

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


def align_classes(scores: np.ndarray, own: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The probabilities of a version in the order of the candidate's classes.

    A class that the version does not know gets none; what it gives to one that is gone is shared by the others, since
    no test row is of it.
    """
    if scores.ndim == 1 or tuple(own) == tuple(classes):
        return scores
    aligned = np.zeros((len(scores), len(classes)))
    for place, name in enumerate(classes):
        if name in own:
            aligned[:, place] = scores[:, list(own).index(name)]
    total = aligned.sum(axis=1, keepdims=True)
    return np.where(total > 0, aligned / np.where(total > 0, total, 1.0), 1 / len(classes))
