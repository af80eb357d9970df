"""Judges one window of live rows against a bundle's profile. Pure: counts in, a verdict for each column out.

A column has drifted when chance is ruled out (Holm-adjusted over everything tested in the window) and the
difference is material. Features, answers, labels, missing values, range, unseen categories and columns that
came or went are all judged in this one way. What several windows add up to: `alarm`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.days.compare import TrainingPast, compare_with_days
from mlops_assets.domain.drift.distances import Aspect, DriftTest, compare_categories, compare_numbers, compare_shares
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Reference
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch
from mlops_assets.domain.many_tests import holm
from mlops_assets.domain.verdict import Outcome, Verdict

IMMATERIAL = "real, but too small to matter"
_NAMED = 5  # columns named in a sentence


@dataclass(frozen=True)
class DriftFinding:
    """The verdict on one aspect of one column."""

    aspect: Aspect
    column: str
    verdict: Verdict

    @property
    def drifted(self) -> bool:
        return self.verdict.outcome is Outcome.FAIL


@dataclass(frozen=True)
class WindowDrift:
    """The verdict on one window. FAIL means that it drifted; the findings begin with the most important."""

    window: str
    rows: int
    outcome: Outcome
    reason: str
    findings: tuple[DriftFinding, ...]

    @property
    def drifted(self) -> tuple[DriftFinding, ...]:
        return tuple(each for each in self.findings if each.drifted)

    @property
    def columns(self) -> tuple[str, ...]:
        """The features that drifted, each once."""
        outside = (Aspect.PREDICTION, Aspect.LABEL, Aspect.TOGETHER)
        return tuple(dict.fromkeys(each.column for each in self.drifted if each.aspect not in outside))


def judge_window(
    window: str,
    compared: Mapping[Aspect, tuple[Reference, Sketch]],
    policy: DriftPolicy,
    *,
    besides: Sequence[DriftTest] = (),
    past: TrainingPast | None = None,
    days: Sequence[date] = (),
) -> WindowDrift:
    """Of FEATURE, and PREDICTION and LABEL where there are any; `besides`: the results of `joint_test`.

    With `past`, the window of `days` is compared with the training data's own days like them; an aspect that has none
    is not judged. Without, rows are taken for independent, and differ by sampling alone.
    """
    rows = compared[Aspect.FEATURE][1].rows
    schema = tuple(_schema(*compared[Aspect.FEATURE])) if rows else ()
    if rows < policy.minimum_rows:
        return inconclusive_window(window, rows, f"{rows:,} rows, at least {policy.minimum_rows:,} are needed", schema)
    if past is None:
        tests = [test for aspect, (ref, live) in compared.items() for test in _tests(aspect, ref, live, policy)]
    else:
        there = {aspect: live for aspect, (_, live) in compared.items() if aspect in past.like}
        tests = [t for aspect, live in there.items() for t in compare_with_days(aspect, past, live, days, policy)]
    alpha = policy.alpha if past is None else past.replay.alpha
    findings = (*schema, *_findings([*tests, *besides], alpha))
    drifted = [finding for finding in findings if finding.drifted]
    outcome = Outcome.FAIL if drifted else Outcome.PASS
    return WindowDrift(window, rows, outcome, _summarise(drifted, len(findings)), findings)


def inconclusive_window(window: str, rows: int, why: str, findings: tuple[DriftFinding, ...] = ()) -> WindowDrift:
    """A window that cannot be judged: too few rows, a profile of another format, a half-written file."""
    return WindowDrift(window, rows, Outcome.INCONCLUSIVE, f"inconclusive: {why}.", findings)


def _tests(aspect: Aspect, reference: Reference, live: Sketch, policy: DriftPolicy) -> Iterator[DriftTest]:
    for name, known in reference.items():
        if aspect is Aspect.FEATURE and name in policy.exclude:
            continue
        found = live.columns.get(name)
        if isinstance(known, NumberReference) and isinstance(found, NumberSketch):
            yield from _compare_number(aspect, name, ref=known, live=found, policy=policy)
        elif isinstance(known, CategoryReference) and isinstance(found, CategorySketch):
            yield from _compare_category(aspect, name, ref=known, live=found, policy=policy)


def _compare_number(
    aspect: Aspect, name: str, *, ref: NumberReference, live: NumberSketch, policy: DriftPolicy
) -> Iterator[DriftTest]:
    if live.finite >= policy.minimum_rows and len(ref.edges):
        yield compare_numbers(aspect, name, ref=ref, live=live, policy=policy)
    if ref.rows and live.rows:
        yield _missing(name, ref, live, policy)
    if known := ref.rows - ref.nulls:
        beyond, of = (ref.infinite, known), (live.outside, max(live.rows - live.nulls, 1))
        yield compare_shares(Aspect.RANGE, name, beyond, of, limit=policy.out_of_range)


def _compare_category(
    aspect: Aspect, name: str, *, ref: CategoryReference, live: CategorySketch, policy: DriftPolicy
) -> Iterator[DriftTest]:
    known, present = ref.rows - ref.nulls, live.rows - live.nulls
    if present >= policy.minimum_rows and known:
        yield compare_categories(aspect, name, ref=ref, live=live, policy=policy)
    if ref.rows and live.rows:
        yield _missing(name, ref, live, policy)
    if known and present:
        note = f": {', '.join(map(repr, live.strangers))}" if live.strangers else ""
        shares = (ref.other, known), (live.other, present)
        yield compare_shares(Aspect.UNSEEN, name, *shares, limit=policy.unseen, note=note)


def _missing(
    name: str, ref: NumberReference | CategoryReference, live: NumberSketch | CategorySketch, policy: DriftPolicy
) -> DriftTest:
    shares = (ref.nulls, ref.rows), (live.nulls, live.rows)
    return compare_shares(Aspect.MISSING, name, *shares, limit=policy.null_share, both_ways=True)


def _schema(reference: Reference, live: Sketch) -> Iterator[DriftFinding]:
    for name, known in reference.items():
        kind = "number" if isinstance(known, NumberReference) else "category"
        if name not in live.types:
            yield _schema_failure(name, f"the column is gone; the model takes it as a {kind}")
        elif name not in live.columns:
            yield _schema_failure(name, f"came as {live.types[name]}, which cannot be read as a {kind}")
    for name in sorted(live.types.keys() - reference.keys()):
        what = f"a column of type {live.types[name]} that the model does not take"
        yield DriftFinding(Aspect.SCHEMA, name, Verdict(name, Outcome.PASS, f"{what}.", {}))


def _schema_failure(name: str, what: str) -> DriftFinding:
    return DriftFinding(Aspect.SCHEMA, name, Verdict(name, Outcome.FAIL, f"{what}.", {}))


def _findings(tests: Sequence[DriftTest], alpha: float) -> Iterator[DriftFinding]:
    """Drifted ones first, then by how unlikely chance is."""
    judged = [(float(adjusted), test) for adjusted, test in zip(holm([t.p for t in tests]), tests, strict=True)]
    for adjusted, test in sorted(judged, key=lambda pair: (not _has_drifted(*pair, alpha), pair[0])):
        drifted = _has_drifted(adjusted, test, alpha)
        ending = "drifted" if drifted else _why_not(adjusted, test, alpha)
        reason = f"{test.summary}; p {adjusted:.2g} adjusted: {ending}."
        outcome = Outcome.FAIL if drifted else Outcome.PASS
        yield DriftFinding(
            test.aspect, test.column, Verdict(test.column, outcome, reason, {**test.numbers, "p_adjusted": adjusted})
        )


def _has_drifted(adjusted: float, test: DriftTest, alpha: float) -> bool:
    return test.material and adjusted < alpha


def _why_not(adjusted: float, test: DriftTest, alpha: float) -> str:
    if test.material:
        return "may be chance"
    return IMMATERIAL if adjusted < alpha else "nothing found"


def _summarise(drifted: Sequence[DriftFinding], tests: int) -> str:
    if not drifted:
        return f"nothing drifted in {tests} tests."
    named = list(dict.fromkeys(f"{each.column} ({each.aspect})" for each in drifted))
    rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"drifted: {', '.join(named[:_NAMED])}{rest}. {drifted[0].column}: {drifted[0].verdict.reason}"
