"""What each field did to an answer, on request. Bounded in cost, the same every time for the same seed.

`occlusion` puts the training data's typical value (median, commonest category) in the place of each field in turn.
`shapley` averages that over random orders of the fields, so that the parts add up to the difference from the
typical row's answer. Both explain the model, not the world.
"""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np

from serving.engine.parts import RowPart
from serving.models.loaded_model import LoadedModel
from serving.models.served_models import ServedModel
from serving.problems import Problem, RequestRefused
from serving.rows.reader import Packed
from serving.rows.row_shapes import NamedRows

_MOST_ROWS = 16
_MOST_SAMPLES = 64  # orders of the fields, each taken forwards and backwards
_SAMPLES = 16
_LONGEST_KEY = 200  # characters
_METHODS = ("occlusion", "shapley")
_TELLS = frozenset({"rows", "method", "samples", "seed", "version", "key"})


class _ExplainOptions(NamedTuple):
    method: str
    samples: int
    seed: int


async def explain(engine: Any, served: ServedModel, content: Mapping[str, Any]) -> dict[str, Any]:
    """The explanation of each row by the version that answers it: its key decides, or the version that is named.

    Rows without a key are explained by the champion.
    """
    options, rows = _read_options(content), NamedRows(content["rows"])
    if len(rows) > _MOST_ROWS:
        raise RequestRefused(f"at most {_MOST_ROWS} rows can be explained at a time", status=422)
    parts = _choose_arms(engine, served, rows, content)
    explanations: list[Any] = [None] * len(rows)
    for arm, places in parts:
        try:
            explained = await _explain_part(engine, arm.loaded, rows.take(places), options)
        except RequestRefused as err:
            raise err.at_places(places) from err
        for place, explanation in zip(places, explained, strict=True):
            explanations[place] = explanation
    return {
        "model": served.release.model,
        **_describe_arms(parts, len(rows)),
        "method": options.method,
        "explains": _explains(parts[0].arm.loaded),
        "explanations": explanations,
    }


def _choose_arms(engine: Any, served: ServedModel, rows: NamedRows, content: Mapping[str, Any]) -> Sequence[RowPart]:
    version, every = content.get("version"), list(range(len(rows)))
    if version is None:
        return engine.divide(served, rows, content.get("key")) or [RowPart(served.champion, every)]
    arm = served.by_version(version)
    if arm is None:
        raise RequestRefused([Problem("version", None, "is not served")], status=404, kind="not_found")
    return [RowPart(arm, every)]


async def _explain_part(
    engine: Any, loaded: LoadedModel, rows: NamedRows, options: _ExplainOptions
) -> list[dict[str, Any]]:
    packed = loaded.reader.read(await engine.completion.complete(rows, loaded))
    return await asyncio.to_thread(_explained, loaded, packed, options)


def _describe_arms(parts: Sequence[RowPart], rows: int) -> dict[str, Any]:
    """Version and arm; of several parts those of each row too, as an answer has them."""
    described: dict[str, Any] = {
        "version": ",".join(dict.fromkeys(part.arm.version for part in parts)),
        "arm": ",".join(part.arm.name for part in parts),
    }
    if len(parts) > 1:
        of_rows = {place: part.arm for part in parts for place in part.places}
        described["arms"] = [of_rows[place].name for place in range(rows)]
        described["versions"] = [of_rows[place].version for place in range(rows)]
    return described


def _read_options(content: Mapping[str, Any]) -> _ExplainOptions:
    problems = [Problem(n[:100], None, "is not known here") for n in sorted(content.keys() - _TELLS)]
    method, samples, seed = (
        content.get("method", "occlusion"),
        content.get("samples", _SAMPLES),
        content.get("seed", 0),
    )
    if method not in _METHODS:
        problems.append(Problem("method", None, f"is one of {', '.join(_METHODS)}"))
    if type(samples) is not int or not 1 <= samples <= _MOST_SAMPLES:
        problems.append(Problem("samples", None, f"is a whole number from 1 to {_MOST_SAMPLES}"))
    if type(seed) is not int or not 0 <= seed < 2**63:
        problems.append(Problem("seed", None, "is a whole number from 0"))
    version = content.get("version")
    if version is not None and not isinstance(version, str):
        problems.append(Problem("version", None, "is a text"))
    key = content.get("key")
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY):
        problems.append(Problem("key", None, f"is a text of 1 to {_LONGEST_KEY} characters"))
    if problems:
        raise RequestRefused(problems, status=422)
    return _ExplainOptions(method, samples, seed)


def _explains(loaded: LoadedModel) -> str:
    return {"binary": "probability", "multiclass": "probability of the label", "regression": "value"}[
        loaded.contract.kind
    ]


def _explained(loaded: LoadedModel, packed: Packed, asked: _ExplainOptions) -> list[dict[str, Any]]:
    typical = typical_row(loaded)
    return [_one(loaded, _row(packed, i), typical, asked) for i in range(len(packed.numbers))]


def typical_row(loaded: LoadedModel) -> Packed:
    """Median of each number and commonest value of each category in the training data."""
    profile, contract = loaded.bundle.profile, loaded.contract
    numbers = np.array([[_median(profile["numbers"].get(name)) for name in contract.numbers]], dtype=np.float64)
    words = np.empty((1, len(contract.categories)), dtype=object)
    words[0, :] = [next(iter(f.categories), "") for f in contract.fields if f.kind == "category"]
    return Packed(numbers.reshape(1, -1), words, ())


def _median(described: Mapping[str, Any] | None) -> float:
    quantiles = described["quantiles"] if described else []
    return float(quantiles[len(quantiles) // 2]) if quantiles else float("nan")


def _one(loaded: LoadedModel, row: Packed, typical: Packed, asked: _ExplainOptions) -> dict[str, Any]:
    score = _scalar(loaded, row)
    answer, base = score(row)[0], score(typical)[0]
    parts = _occluded(score, row, typical) if asked.method == "occlusion" else _shapley(score, row, typical, asked)
    names = (*loaded.contract.numbers, *loaded.contract.categories)
    order = np.argsort(-np.abs(parts), kind="stable")
    return {
        "answer": float(answer),
        "typical": float(base),
        "fields": [{"field": names[i], "effect": float(parts[i])} for i in order.tolist()],
    }


def _scalar(loaded: LoadedModel, row: Packed) -> Any:
    """The one number that is explained: for classes, the probability of the class this row gets."""
    if loaded.contract.kind != "multiclass":
        return lambda packed: loaded.score(packed).astype(np.float64)
    best = int(loaded.score(row)[0].argmax())
    return lambda packed: loaded.score(packed)[:, best].astype(np.float64)


def _occluded(score: Any, row: Packed, typical: Packed) -> np.ndarray:
    """Effect of a field: the answer, less the answer with the typical value in its place."""
    fields = row.numbers.shape[1] + row.categories.shape[1]
    mixed = _mix(row, typical, ~np.eye(fields, dtype=bool))
    return score(row)[0] - score(mixed)


def _shapley(score: Any, row: Packed, typical: Packed, asked: _ExplainOptions) -> np.ndarray:
    """Permutation sampling, each order also backwards."""
    fields = row.numbers.shape[1] + row.categories.shape[1]
    draw, parts = Random(asked.seed), np.zeros(fields)
    for _ in range(asked.samples):
        order = draw.sample(range(fields), fields)
        for path in (order, order[::-1]):
            steps = np.zeros((fields + 1, fields), dtype=bool)
            for step, field in enumerate(path, start=1):
                steps[step:, field] = True
            parts[path] += np.diff(score(_mix(row, typical, steps)))
    return parts / (2 * asked.samples)


def _mix(row: Packed, typical: Packed, own: np.ndarray) -> Packed:
    """A row for each line of `own` [n, fields]: the row's own value where it is true, the typical one elsewhere."""
    width = row.numbers.shape[1]
    numbers = np.where(own[:, :width], row.numbers, typical.numbers)
    words = np.where(own[:, width:], row.categories, typical.categories)
    return Packed(numbers, words, ())


def _row(packed: Packed, index: int) -> Packed:
    return Packed(packed.numbers[index : index + 1], packed.categories[index : index + 1], ())
