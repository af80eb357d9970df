"""Adds up what a day's answers were: by version and arm, by hour, how they scored. Pure; takes pieces, keeps counts.

Also judges the day: every version is known, every row was taken in, each row is there once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.domain.check_names import KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.traffic.answer_digests import DigestFindings
from mlops_assets.domain.verdict import Outcome, Verdict

COLUMNS = ("time", "version", "arm", "role", "bundle", "degraded", "answer")
DEFAULT = "default"  # version of an answer that no model gave
_SAMPLE = 20_000  # scores kept for the picture, from each version
_PREFIX = 12  # characters of a digest that name a version nobody named otherwise
_HOUR = 3_600_000_000  # microseconds


@dataclass
class AnswerTally:
    """Counts over any number of pieces."""

    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # version, arm, role
    degraded: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    hours: dict[str, np.ndarray] = field(default_factory=dict)  # version → rows in each hour of the day
    bundles: Counter[tuple[str, str]] = field(default_factory=Counter)  # version, bundle
    scores: dict[str, list[np.ndarray]] = field(default_factory=dict)  # version → some of its answers

    def add(self, piece: pa.Table) -> None:
        names = [name for name in ("version", "arm", "role") if name in piece.column_names]
        for row in piece.group_by([*names, "degraded"]).aggregate([([], "count_all")]).to_pylist():
            key = (row["version"], row["arm"], row.get("role") or "")
            self.rows[key] += row["count_all"]
            self.degraded[key] += row["count_all"] if row["degraded"] else 0
        for row in piece.group_by(["version", "bundle"]).aggregate([([], "count_all")]).to_pylist():
            self.bundles[row["version"], row["bundle"]] += row["count_all"]
        for version in pc.unique(piece["version"]).to_pylist():
            self._of_version(version, piece.filter(pc.equal(piece["version"], version)))

    def _of_version(self, version: str, piece: pa.Table) -> None:
        hours = pc.cast(piece["time"], pa.int64()).to_numpy() // _HOUR % 24
        known = self.hours.setdefault(version, np.zeros(24, dtype=np.int64))
        known += np.bincount(hours, minlength=24)
        kept = self.scores.setdefault(version, [])
        room = _SAMPLE - sum(map(len, kept))
        if room > 0 and version != DEFAULT:
            kept.append(_one_number(piece["answer"].slice(0, room)))

    def sample(self) -> dict[str, np.ndarray]:
        """Version → some of its scores."""
        found = {version: np.concatenate(parts) for version, parts in sorted(self.scores.items()) if parts}
        return {version: scores for version, scores in found.items() if len(scores)}


def judge_versions(
    bundles: Mapping[tuple[str, str], int], registered: Iterable[tuple[str, str, str]], released: Iterable[str]
) -> Verdict:
    """Does the registry or the ledger know every version that answered?

    `registered`: number, semantic version and bundle of each version; `released`: bundles that the ledger names.
    """
    names: dict[str, set[str]] = {bundle: {bundle[:_PREFIX], "baked"} for bundle in released}
    for number, semantic, bundle in registered:
        names.setdefault(bundle, {bundle[:_PREFIX], "baked"}).update((number, semantic))
    answered = {key: rows for key, rows in bundles.items() if key[0] != DEFAULT}
    strange = {key: rows for key, rows in answered.items() if key[1] not in names}
    known_by_registry = {bundle for *_, bundle in registered}
    misnamed = {(v, b): n for (v, b), n in answered.items() if b in known_by_registry and v not in names[b]}
    numbers = {"versions": float(len(answered)), "unknown": float(len(strange)), "misnamed": float(len(misnamed))}
    problems = [f"{version} (bundle {bundle[:_PREFIX]}) gave {rows:,} answers" for (version, bundle), rows in
                sorted({**strange, **misnamed}.items())]  # fmt: skip
    if problems:
        reason = f"Neither registry nor ledger knows: {listed(problems)}. Look who wrote the release file."
        return Verdict(KNOWN_VERSIONS, Outcome.FAIL, reason, numbers)
    return Verdict(KNOWN_VERSIONS, Outcome.PASS, f"Each of {len(answered)} versions that answered is known.", numbers)


def judge_repeats(rows: int, different: int) -> Verdict:
    """Is each answer once in the files that were written?"""
    numbers = {"rows": float(rows), "different": float(different)}
    if rows != different:
        reason = f"{rows - different:,} of {rows:,} rows are there more than once; remove the day and run it again."
        return Verdict(NO_REPEATED_ANSWERS, Outcome.FAIL, reason, numbers)
    return Verdict(NO_REPEATED_ANSWERS, Outcome.PASS, f"{rows:,} rows, each once.", numbers)


def judge_completeness(
    missing: int, rows: int, problems: Sequence[str], findings: Sequence[DigestFindings] = ()
) -> Verdict:
    """Is every row of the log in the files, and every answer as the endpoint gave it?"""
    lost, altered = (sum(getattr(each, f"{what}_count") for each in findings) for what in ("missing", "altered"))
    numbers = {"missing": float(missing), "rows": float(rows), "unreadable": float(len(problems))}
    numbers |= {"answers missing": float(lost), "answers altered": float(altered)}
    numbers["answers compared"] = float(sum(each.compared for each in findings))
    if missing or problems or lost or altered:
        times = listed([time for each in findings for time in each.missing])
        ids = listed([name for each in findings for name in each.altered])
        faults = [f"{missing:,} rows of the log were not taken in"] * bool(missing)
        faults += [f"{lost:,} answers that the endpoint logged are not there (given at {times})"] * bool(lost)
        faults += [f"{altered:,} requests are not as the endpoint answered them ({ids})"] * bool(altered)
        faults += [f"{problem}: inspect it, then move it elsewhere" for problem in problems]
        return Verdict(WHOLE_LOG, Outcome.FAIL, listed(faults), numbers)
    return Verdict(WHOLE_LOG, Outcome.PASS, f"All rows that the log holds are among the {rows:,}.", numbers)


def _one_number(answers: pa.ChunkedArray) -> np.ndarray:
    """A number for each answer: the value or probability, or the largest of several."""
    answered = answers.drop_null()
    sizes = pc.list_value_length(answered).to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(answered).to_numpy(zero_copy_only=False)
    if not len(sizes) or not len(flat):
        return np.empty(0)
    starts = np.cumsum(sizes) - sizes
    return np.maximum.reduceat(flat, starts[sizes > 0])
