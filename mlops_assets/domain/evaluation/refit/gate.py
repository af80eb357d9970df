"""Decides whether the refit may be served. Never computes a score.

It fails when the refit is shown to be worse than the last fold's model on rows that only the refit has learnt, when
its mean answer is off by more than that model's, or when it answers otherwise without being shown to be better.
"""

from mlops_assets.domain.evaluation.evidence import RefitEvidence
from mlops_assets.domain.verdict import Outcome, Verdict

MOST_SHIFT = 0.1  # more than the last fold's: probability, or standard deviations of the label
_REMEDY = "look at the loss of the refit's epochs in the run log; or serve the model of the oldest rows: refit: false."


def judge_refit(gate: str, found: RefitEvidence | None) -> Verdict:
    """The verdict on the refit; without one there is nothing to compare."""
    if found is None:
        return Verdict(gate, Outcome.PASS, "training.refit is off: the model that was tested is served.", {})
    numbers = _numbers(found)
    if not found.finite:
        return Verdict(gate, Outcome.FAIL, f"The refit gives answers that are not numbers: {_REMEDY}", numbers)
    if problems := [*_collapse(found), *_shifted(found)]:
        return Verdict(gate, Outcome.FAIL, f"On {_where(found)} {'; '.join(problems)}: {_REMEDY}", numbers)
    if found.gain is None:
        return Verdict(gate, Outcome.INCONCLUSIVE, f"{_where(found)} cannot be compared: {found.problem}.", numbers)
    what = f"gain over the last fold's model {found.gain}, mean answer off by {found.shift:.3g}"
    return Verdict(gate, Outcome.PASS, f"On {_where(found)}: {what}.", numbers)


def _collapse(found: RefitEvidence) -> list[str]:
    gains = {"": found.gain, " in squared error": found.error_gain}
    return [
        f"the refit, which has learnt them, is worse than the model that has not: gain{what} {gain}"
        for what, gain in gains.items()
        if gain is not None and gain.high < 0
    ]


def _shifted(found: RefitEvidence) -> list[str]:
    if found.shift is None or found.shift <= found.shift_before + MOST_SHIFT:
        return []
    return [f"its mean answer is off by {found.shift:.3g}, that of the last fold's model by {found.shift_before:.3g}"]


def _where(found: RefitEvidence) -> str:
    return f"the {found.rows:,} rows of the last fold"


def _numbers(found: RefitEvidence) -> dict[str, float]:
    measured = {"shift": found.shift, "shift_before": found.shift_before}
    for name, gain in {"gain": found.gain, "error_gain": found.error_gain}.items():
        if gain is not None:
            measured |= {name: gain.estimate, f"{name}_low": gain.low, f"{name}_high": gain.high}
    return {"rows": float(found.rows), **{name: value for name, value in measured.items() if value is not None}}
