"""A day of the log as counts: sketches of the features and answers of each bundle, and a sample of its rows.

Rows come piece by piece and are counted once; days add up. A shadow's answers reach nobody and are left out; so are
default answers, which no model gave and whose rows were not kept. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.drift.reference import CHOSEN, CONFIDENCE, LABEL, PREDICTION, Profile
from mlops_assets.domain.drift.sketch import Sketch, sketch_from_plain, sketch_to_plain
from mlops_assets.domain.traffic.row_loss import LabelSpace, decode_labels

ANSWERED_BY = ("version", "bundle", "role")
COUNTED_COLUMNS = ("bundle", "role", "answer", "features")
SHADOW, DEFAULT = "shadow", "default"


@dataclass(frozen=True)
class AnswerCounts:
    """How many rows each version answered, without shadows."""

    rows: Mapping[tuple[str, str], int]  # version, bundle
    default: int  # answered by no model

    @classmethod
    def of(cls, pieces: Iterable[pa.Table]) -> "AnswerCounts":
        """Count the rows of pieces with the columns ANSWERED_BY."""
        counts: Counter[tuple[str, str]] = Counter()
        for piece in pieces:
            groups = _without_shadows(piece).group_by(["version", "bundle"]).aggregate([([], "count_all")])
            for row in groups.to_pylist():
                counts[row["version"], row["bundle"]] += row["count_all"]
        default = sum(count for (_, bundle), count in counts.items() if bundle == DEFAULT)
        return cls({key: count for key, count in counts.items() if key[1] != DEFAULT}, default)

    def __add__(self, other: "AnswerCounts") -> "AnswerCounts":
        return AnswerCounts(Counter(self.rows) + Counter(other.rows), self.default + other.default)

    @property
    def bundles(self) -> Mapping[str, tuple[str, int]]:
        """Bundle → its version's name and rows, the one with most rows first."""
        found: dict[str, tuple[str, int]] = {}
        for (version, bundle), count in sorted(self.rows.items(), key=lambda each: (-each[1], each[0])):
            name, before = found.get(bundle, (version, 0))
            found[bundle] = (name, before + count)
        return dict(sorted(found.items(), key=lambda each: (-each[1][1], each[0])))


@dataclass(frozen=True, eq=False)
class BundleCounts:
    """Features and answers of one bundle."""

    version: str
    features: Sketch = field(default_factory=Sketch)
    predictions: Sketch = field(default_factory=Sketch)

    def __add__(self, other: "BundleCounts") -> "BundleCounts":
        return BundleCounts(self.version, self.features + other.features, self.predictions + other.predictions)


@dataclass(frozen=True, eq=False)
class LiveDay:
    """One day, or several."""

    answered: AnswerCounts
    bundles: Mapping[str, BundleCounts] = field(default_factory=dict)
    labels: Mapping[str, Sketch] = field(default_factory=dict)  # bundle → against its profile

    def __add__(self, other: "LiveDay") -> "LiveDay":
        both = {**self.bundles, **{name: _sum(self.bundles.get(name), found) for name, found in other.bundles.items()}}
        labels = {**self.labels, **{name: self.labels.get(name, Sketch()) + s for name, s in other.labels.items()}}
        return LiveDay(self.answered + other.answered, both, labels)

    def to_plain(self) -> dict[str, Any]:
        plain = sketch_to_plain
        bundles = {
            name: {"version": each.version, "features": plain(each.features), "predictions": plain(each.predictions)}
            for name, each in self.bundles.items()
        }
        return {
            "answered": [[*key, count] for key, count in self.answered.rows.items()],
            "default": self.answered.default,
            "bundles": bundles,
            "labels": {name: plain(sketch) for name, sketch in self.labels.items()},
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "LiveDay":
        read = sketch_from_plain
        bundles = {
            name: BundleCounts(each["version"], read(each["features"]), read(each["predictions"]))
            for name, each in content["bundles"].items()
        }
        labels = {name: read(each) for name, each in content["labels"].items()}
        rows = {(version, bundle): count for version, bundle, count in content["answered"]}
        return cls(AnswerCounts(rows, content["default"]), bundles, labels)


@dataclass(frozen=True)
class BundleReference:
    """What a bundle's rows are counted against."""

    profile: Profile
    judged: LabelSpace


def _sum(one: BundleCounts | None, other: BundleCounts) -> BundleCounts:
    return other if one is None else one + other


def count_day(
    pieces: Iterable[pa.Table], answered: AnswerCounts, against: Mapping[str, BundleReference], sampler: "RowSampler"
) -> tuple[LiveDay, pa.Table]:
    """Count pieces with the columns COUNTED_COLUMNS; `sampler` takes rows from those of the first bundle."""
    bundles = answered.bundles
    first = next(iter(bundles), "")
    day = LiveDay(answered, {name: BundleCounts(bundles[name][0]) for name in against})
    kept: list[pa.Table] = []
    for piece in pieces:
        for name, rows in _by_bundle(_without_shadows(piece), against):
            if name == first:
                kept.append(sampler.take(pa.Table.from_struct_array(rows["features"])))
            counted = _counted(bundles[name][0], rows, against[name])
            day = replace(day, bundles={**day.bundles, name: day.bundles[name] + counted})
    return day, pa.concat_tables(kept, promote_options="permissive") if kept else pa.table({})


def sketch_labels(outcomes: pa.Array | pa.ChunkedArray, against: BundleReference) -> Sketch:
    """Of outcomes as JSON texts; those that are not understood are left out."""
    known = decode_labels(against.judged, outcomes)
    known = known[~np.isnan(known)]
    if against.judged.kind is Kind.REGRESSION:
        column = pa.array(known)
    else:
        column = pa.array(against.judged.classes, pa.string()).take(pa.array(known.astype(np.int64)))
    return Sketch.of(pa.table({LABEL: column}), against.profile.label)


class RowSampler:
    """Draws rows evenly without keeping the others: state how many will come, then pass the pieces in order."""

    def __init__(self, rows: int, most: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._places = np.arange(rows) if rows <= most else np.sort(rng.choice(rows, most, replace=False))
        self._before = 0

    @classmethod
    def at(cls, places: np.ndarray) -> "RowSampler":
        """The rows at these rising places."""
        sampler = cls(0, 0, 0)
        sampler._places = places
        return sampler

    def take(self, piece: pa.Table) -> pa.Table:
        """The sampled rows of the next piece."""
        start, end = np.searchsorted(self._places, [self._before, self._before + len(piece)])
        taken = piece.take(pa.array(self._places[start:end] - self._before))
        self._before += len(piece)
        return taken


def _without_shadows(piece: pa.Table) -> pa.Table:
    if "role" not in piece.column_names:
        return piece
    shadows = pc.equal(pc.fill_null(piece["role"], ""), SHADOW)
    return piece.filter(pc.invert(shadows)) if pc.any(shadows).as_py() else piece  # a filter copies


def _by_bundle(piece: pa.Table, wanted: Iterable[str]) -> Iterator[tuple[str, pa.Table]]:
    there = set(pc.unique(piece["bundle"]).to_pylist())
    for name in wanted:
        if there == {name}:
            yield name, piece
        elif name in there:
            yield name, piece.filter(pc.equal(piece["bundle"], name))


def _counted(version: str, rows: pa.Table, against: BundleReference) -> BundleCounts:
    profile = against.profile
    features = sum((Sketch.of(chunk, profile.features) for chunk in rows["features"].chunks), Sketch())
    return BundleCounts(version, features, Sketch.of(_answers(rows["answer"], against.judged), profile.predictions))


def _answers(column: pa.ChunkedArray, judged: LabelSpace) -> pa.Table:
    """[n] answers in the columns of a profile."""
    answers = column.drop_null()
    values = pc.list_flatten(answers).to_numpy(zero_copy_only=False).reshape(len(answers), -1)
    if judged.kind is not Kind.MULTICLASS:
        return pa.table({PREDICTION: values[:, 0] if len(values) else pa.array([], pa.float64())})
    if not len(values):
        return pa.table({CHOSEN: pa.array([], pa.string()), CONFIDENCE: pa.array([], pa.float64())})
    classes = pa.array(judged.classes, pa.string())
    return pa.table({CHOSEN: classes.take(pa.array(values.argmax(axis=1))), CONFIDENCE: values.max(axis=1)})


def find_vectors(numbers: Sequence[str], least: int = 8) -> Mapping[str, tuple[str, ...]]:
    """Numbered columns `<name>_0 … <name>_n` are one vector, as an embedding comes: its name → them in order."""
    found: dict[str, dict[int, str]] = {}
    for name in numbers:
        stem, _, place = name.rpartition("_")
        if stem and place.isascii() and place.isdigit() and str(int(place)) == place:
            found.setdefault(stem, {})[int(place)] = name
    whole = {
        stem: parts for stem, parts in found.items() if len(parts) >= least and set(parts) == set(range(len(parts)))
    }
    return {stem: tuple(parts[place] for place in range(len(parts))) for stem, parts in whole.items()}
