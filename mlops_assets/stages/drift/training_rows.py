"""Reads rows of a version's training set: a sample of all, and some of each day. Imported only in bodies."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.domain.drift.days.compare import TrainingPast, fit_past
from mlops_assets.domain.drift.days.pairs import PairRows
from mlops_assets.domain.drift.days.training_days import choose_days
from mlops_assets.domain.drift.joint_test import MOST_ROWS
from mlops_assets.domain.drift.live_day import RowSampler
from mlops_assets.domain.names import EVENT_TIME, training_set_path
from mlops_assets.domain.training_set.split import PARTS, REST
from mlops_assets.stages.drift.collect import DriftCollector, OpenedVersion, digest_seed
from serving.contract.encoding import pack_table

_WEEKS, _ROWS = 9, 1_000  # that tell how columns go together; rows of a day


def read_past(collector: DriftCollector, opened: OpenedVersion) -> TrainingPast | None:
    """The days of the version's training data, fitted once a run; None where it has too few."""
    digest = opened.bundle.digest
    if digest not in collector.pasts:
        rows, policy = _read_days(collector, opened), collector.spec.monitoring.drift
        collector.pasts[digest] = fit_past(opened.against.profile, policy, rows)
    return collector.pasts[digest]


def read_training_sample(collector: DriftCollector, opened: OpenedVersion) -> pa.Table | None:
    """Some of the rows that the version was trained on; None where they are gone."""
    paths = _find_rows(collector, opened)
    if not paths:
        return None
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    columns = _read_columns(opened, paths, RowSampler(rows, MOST_ROWS, digest_seed(opened.bundle.digest)))
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def pack_columns(opened: OpenedVersion, rows: pa.Table) -> dict[str, np.ndarray]:
    """The version's features: numbers as float64 with NaN, categories as text."""
    contract = opened.bundle.contract
    values, words = pack_table(rows, contract.numbers, contract.categories)
    numbers = {name: values[:, place] for place, name in enumerate(contract.numbers)}
    return numbers | {name: words[:, place] for place, name in enumerate(contract.categories)}


def choose_rows(days: np.ndarray, seed: int) -> np.ndarray:
    """Rising places of at most a thousand rows of each day, of a few weeks that are spread over all."""
    unique = np.unique(days)
    kept = unique[choose_days(unique, _WEEKS)]
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(np.isin(days, kept)))
    ordered = shuffled[np.argsort(days[shuffled], kind="stable")]
    starts = np.searchsorted(days[ordered], kept)
    ranks = np.arange(len(ordered)) - starts[np.searchsorted(kept, days[ordered])]
    return np.sort(ordered[ranks < _ROWS])


def _read_days(collector: DriftCollector, opened: OpenedVersion) -> PairRows | None:
    """Rows of some weeks that the version was trained on; None where they are gone or have too few days."""
    paths = _find_rows(collector, opened)
    if not paths or opened.against.profile.feature_days is None:
        return None
    moments = pa.concat_tables([pa.table(each) for each in _read_batches(paths, [EVENT_TIME])])
    days = moments[EVENT_TIME].to_numpy().astype("datetime64[D]")
    places = choose_rows(days, digest_seed(opened.bundle.digest))
    return PairRows(_read_columns(opened, paths, RowSampler.at(places)), days[places])


def _find_rows(collector: DriftCollector, opened: OpenedVersion) -> list[Path]:
    """The files of the rows that the version has learnt; empty where they are gone."""
    name = training_set_path(collector.spec.model, opened.bundle.contract.training_set)
    try:
        folder = collector.lake.fetch(name, collector.workspace.cache)
    except FileNotFoundError:
        return []
    parts = (*PARTS, REST) if opened.bundle.profile["scores"].get("out_of_time") else PARTS[:1]
    return [folder / f"{part}.parquet" for part in parts if (folder / f"{part}.parquet").exists()]


def _read_batches(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(columns)):
                yield {name: batch[name] for name in columns}


def _read_columns(opened: OpenedVersion, paths: Sequence[Path], sampler: RowSampler) -> dict[str, np.ndarray]:
    batches = _read_batches(paths, opened.features)
    return pack_columns(opened, pa.concat_tables([sampler.take(pa.table(each)) for each in batches]))
