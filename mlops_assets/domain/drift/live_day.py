"""A day of the log as counts: sketches of what each bundle was asked and what it answered, and a sample of its rows.

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
from mlops_assets.domain.drift import sketch_store
from mlops_assets.domain.drift.reference import CHOSEN, CONFIDENCE, LABEL, PREDICTION, Profile
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.traffic.row_loss import Judged, labels

WHO = ("version", "bundle", "role")
SAID = ("bundle", "role", "answer", "features")
SHADOW, DEFAULT = "shadow", "default"


@dataclass(frozen=True)
class Answered:
    """How many rows each version answered, without shadows."""

    rows: Mapping[tuple[str, str], int]  # version, bundle
    default: int  # answered by no model

    @classmethod
    def of(cls, pieces: Iterable[pa.Table]) -> "Answered":
        """Of pieces with the columns WHO."""
        counts: Counter[tuple[str, str]] = Counter()
        for piece in pieces:
            for row in _to_somebody(piece).group_by(["version", "bundle"]).aggregate([([], "count_all")]).to_pylist():
                counts[row["version"], row["bundle"]] += row["count_all"]
        default = sum(count for (_, bundle), count in counts.items() if bundle == DEFAULT)
        return cls({key: count for key, count in counts.items() if key[1] != DEFAULT}, default)

    def __add__(self, other: "Answered") -> "Answered":
        return Answered(Counter(self.rows) + Counter(other.rows), self.default + other.default)

    @property
    def bundles(self) -> Mapping[str, tuple[str, int]]:
        """Bundle → its version's name and rows, the one with most rows first."""
        found: dict[str, tuple[str, int]] = {}
        for (version, bundle), count in sorted(self.rows.items(), key=lambda each: (-each[1], each[0])):
            name, before = found.get(bundle, (version, 0))
            found[bundle] = (name, before + count)
        return dict(sorted(found.items(), key=lambda each: (-each[1][1], each[0])))


@dataclass(frozen=True, eq=False)
class Counted:
    """What one bundle was asked and answered."""

    version: str
    features: Sketch = field(default_factory=Sketch)
    predictions: Sketch = field(default_factory=Sketch)

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(self.version, self.features + other.features, self.predictions + other.predictions)


@dataclass(frozen=True, eq=False)
class LiveDay:
    """One day, or several."""

    answered: Answered
    bundles: Mapping[str, Counted] = field(default_factory=dict)
    labels: Mapping[str, Sketch] = field(default_factory=dict)  # bundle → against its profile

    def __add__(self, other: "LiveDay") -> "LiveDay":
        both = {**self.bundles, **{name: _sum(self.bundles.get(name), found) for name, found in other.bundles.items()}}
        told = {**self.labels, **{name: self.labels.get(name, Sketch()) + s for name, s in other.labels.items()}}
        return LiveDay(self.answered + other.answered, both, told)

    def as_plain(self) -> dict[str, Any]:
        plain = sketch_store.as_plain
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
    def of_plain(cls, content: Mapping[str, Any]) -> "LiveDay":
        read = sketch_store.of_plain
        bundles = {
            name: Counted(each["version"], read(each["features"]), read(each["predictions"]))
            for name, each in content["bundles"].items()
        }
        labels = {name: read(each) for name, each in content["labels"].items()}
        rows = {(version, bundle): count for version, bundle, count in content["answered"]}
        return cls(Answered(rows, content["default"]), bundles, labels)


@dataclass(frozen=True)
class Against:
    """What a bundle's rows are counted against."""

    profile: Profile
    judged: Judged


def _sum(one: Counted | None, other: Counted) -> Counted:
    return other if one is None else one + other


def count(
    pieces: Iterable[pa.Table], answered: Answered, against: Mapping[str, Against], drawn: "Drawn"
) -> tuple[LiveDay, pa.Table]:
    """Counts of pieces with the columns SAID, and the rows `drawn` from those of the first bundle."""
    bundles = answered.bundles
    first = next(iter(bundles), "")
    day = LiveDay(answered, {name: Counted(bundles[name][0]) for name in against})
    kept: list[pa.Table] = []
    for piece in pieces:
        for name, rows in _by_bundle(_to_somebody(piece), against):
            if name == first:
                kept.append(drawn.of(pa.Table.from_struct_array(rows["features"])))
            counted = _counted(bundles[name][0], rows, against[name])
            day = replace(day, bundles={**day.bundles, name: day.bundles[name] + counted})
    return day, pa.concat_tables(kept, promote_options="permissive") if kept else pa.table({})


def label_sketch(outcomes: pa.Array | pa.ChunkedArray, against: Against) -> Sketch:
    """Of outcomes as JSON texts; those that are not understood are left out."""
    known = labels(against.judged, outcomes)
    known = known[~np.isnan(known)]
    if against.judged.kind is Kind.REGRESSION:
        column = pa.array(known)
    else:
        column = pa.array(against.judged.classes, pa.string()).take(pa.array(known.astype(np.int64)))
    return Sketch.of(pa.table({LABEL: column}), against.profile.label)


class Drawn:
    """Rows drawn evenly from as many as there will be, without holding them: say how many, then hand in the pieces."""

    def __init__(self, rows: int, most: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._places = np.arange(rows) if rows <= most else np.sort(rng.choice(rows, most, replace=False))
        self._before = 0

    def of(self, piece: pa.Table) -> pa.Table:
        """Those of the next piece."""
        start, end = np.searchsorted(self._places, [self._before, self._before + len(piece)])
        taken = piece.take(pa.array(self._places[start:end] - self._before))
        self._before += len(piece)
        return taken


def _to_somebody(piece: pa.Table) -> pa.Table:
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


def _counted(version: str, rows: pa.Table, against: Against) -> Counted:
    profile = against.profile
    asked = sum((Sketch.of(chunk, profile.features) for chunk in rows["features"].chunks), Sketch())
    return Counted(version, asked, Sketch.of(_answers(rows["answer"], against.judged), profile.predictions))


def _answers(column: pa.ChunkedArray, judged: Judged) -> pa.Table:
    """[n] answers in the columns that a profile tells."""
    given = column.drop_null()
    values = pc.list_flatten(given).to_numpy(zero_copy_only=False).reshape(len(given), -1)
    if judged.kind is not Kind.MULTICLASS:
        return pa.table({PREDICTION: values[:, 0] if len(values) else pa.array([], pa.float64())})
    if not len(values):
        return pa.table({CHOSEN: pa.array([], pa.string()), CONFIDENCE: pa.array([], pa.float64())})
    classes = pa.array(judged.classes, pa.string())
    return pa.table({CHOSEN: classes.take(pa.array(values.argmax(axis=1))), CONFIDENCE: values.max(axis=1)})


def vectors_in(numbers: Sequence[str], least: int = 8) -> Mapping[str, tuple[str, ...]]:
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
