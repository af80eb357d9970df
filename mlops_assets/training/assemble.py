"""From a folder of `train` to a bundle: export, compress, choose, contract, profile, golden requests.

The bundle depends on its inputs and on the precision that is chosen. Speed decides that choice and is a
measurement; who rebuilds a bundle bit for bit passes the recorded precision as the only one.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.release import Precision, ServingSpec
from mlops_assets.domain.names import EVENT_TIME
from mlops_assets.domain.records import Compressed, TrainingSet
from mlops_assets.domain.training_set.training_rows import every_row
from mlops_assets.training.compress import Clock, Difference, Variant, choose, measure_variants
from mlops_assets.training.export import OPSET, output_of
from mlops_assets.training.golden import golden
from mlops_assets.training.profile import MOST_CATEGORIES, LearntAnswers, Moments, profile
from mlops_assets.training.rows import Rows, joined, pack_parts
from mlops_assets.training.store import canonical_json, load_model, load_out_of_time
from serving.contract.bundle import CARD, CONTRACT, GOLDEN, MODEL, PROFILE, Session, open_session, write_bundle
from serving.contract.fields import FORMAT, Contract, Field, Output

_HALF = 0.5
_MOST_ANSWERED = 200_000  # learnt rows whose answers tell how days differ


@dataclass(frozen=True)
class Assembled:
    digest: str  # also the folder's name under the root
    precision: Precision
    measured: tuple[Compressed, ...]
    slices: Mapping[Precision, Mapping[str, Difference]]  # parity with torch, slice by slice


def assemble(
    trained: Path,
    training_set: TrainingSet,
    tables: Mapping[str, pa.Table],
    serving: ServingSpec,
    *,
    root: Path,
    commit: str,
    card: str,
    only: Precision | None = None,
    slices: Mapping[str, np.ndarray] | None = None,
    clock: Clock = time.perf_counter,
) -> Assembled:
    """Write the bundle under `root`. `slices`: name → mask over the test rows. `only`: of a rebuild."""
    model = load_model(trained)
    parts = pack_parts(training_set, tables, model.layout.target.transform)
    precisions = (only,) if only else serving.precisions
    variants = measure_variants(model, parts["test"], precisions, serving.parity, slices=slices, clock=clock)
    chosen = _chosen(variants, only)
    scored = load_out_of_time(trained)
    learnt = parts["train"] if scored is None else joined(parts)
    contract = _contract(
        training_set, tables["train"], learnt, serving=serving, precision=chosen.measured.precision, commit=commit
    )
    session = Session(contract, open_session(chosen.content, "cpu", threads=1))
    answers = session.predict(parts["test"].numbers, parts["test"].categories) if scored is None else scored[0]
    own = None if scored is None else _answer_learnt(session, learnt, parts["test"])
    moments = Moments(_moments(tables["train"] if scored is None else every_row(tables)), _moments(tables["test"]))
    target = model.layout.target
    spread = target.scale if target.transform == "none" else 1.0
    files = {
        MODEL: chosen.content,
        CONTRACT: contract.to_json(),
        PROFILE: canonical_json(profile(model.layout, learnt, answers, moments=moments, learnt=own)),
        GOLDEN: canonical_json(golden(contract, tables["test"], session.predict, spread)),
        CARD: card.encode(),
    }
    return Assembled(
        digest=write_bundle(root, files),
        precision=chosen.measured.precision,
        measured=tuple(v.measured for v in variants),
        slices={v.measured.precision: v.slices for v in variants},
    )


def _chosen(variants: tuple[Variant, ...], only: Precision | None) -> Variant:
    best = only or choose([v.measured for v in variants]).precision
    return next(v for v in variants if v.measured.precision is best)


def _answer_learnt(session: Session, learnt: Rows, test: Rows) -> LearntAnswers:
    places = np.unique(np.linspace(0, len(learnt) - 1, min(len(learnt), _MOST_ANSWERED)).astype(np.int64))
    some = learnt.take(places)
    answers = session.predict(some.numbers, some.categories)
    return LearntAnswers(places, answers, session.predict(test.numbers, test.categories))


def _moments(table: pa.Table) -> np.ndarray | None:
    return table[EVENT_TIME].to_numpy() if EVENT_TIME in table.column_names else None


def _contract(
    training_set: TrainingSet,
    table: pa.Table,
    rows: Rows,
    *,
    serving: ServingSpec,
    precision: Precision,
    commit: str,
) -> Contract:
    inputs, kind = training_set.inputs, training_set.kind
    numbers = [_number(name, table[name].type, rows.numbers[:, i]) for i, name in enumerate(inputs.numbers)]
    groups = [_group(name, table[name].type, rows.categories[:, i]) for i, name in enumerate(inputs.categories)]
    size = len(training_set.classes) if kind is Kind.MULTICLASS else 1
    return Contract(
        format=FORMAT,
        model=training_set.model,
        kind=kind.value,
        classes=training_set.classes,
        fields=(*numbers, *groups),
        entity=training_set.entity,
        outputs=(Output(output_of(kind), size),),
        threshold=_HALF if kind is Kind.BINARY else None,
        feature_service=training_set.service,
        training_set=training_set.digest,
        commit=commit,
        precision=precision.value,
        opset=OPSET,
        out_of_range=serving.out_of_range,
    )


def _number(name: str, kind: pa.DataType, column: np.ndarray) -> Field:
    finite = column[np.isfinite(column)]
    lower, upper = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    return Field(name, _type(kind), "number", bool(np.isnan(column).any()), lower, upper, (), False)


def _group(name: str, kind: pa.DataType, column: np.ndarray) -> Field:
    counts = Counter(column.tolist())
    nullable = bool(counts.pop("", 0))
    seen = [value for value, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))]
    kept = tuple(seen[:MOST_CATEGORIES])
    return Field(name, _type(kind), "category", nullable, None, None, kept, len(seen) > len(kept))


def _type(kind: pa.DataType) -> str:
    plain = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    if pt.is_boolean(plain):
        return "boolean"
    if pt.is_integer(plain):
        return "integer"
    return "number" if pt.is_floating(plain) or pt.is_decimal(plain) or pt.is_null(plain) else "text"
