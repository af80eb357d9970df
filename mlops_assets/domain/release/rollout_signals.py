"""Judges one signal of a canary against the champion. Counts in, verdict out; `rollout` weighs the verdicts.

A signal passes when the bound on harm lies within the margin, fails when harm is proven and not shown to be
within the margin, and is inconclusive in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import log

from mlops_assets.domain.release import sequential
from mlops_assets.domain.release.sequential import Bounds, Sample
from mlops_assets.domain.verdict import Outcome, Verdict


class Signal(StrEnum):
    """What is judged, in the order in which it is told. A slice's is told as `errors[carrier=UA]`."""

    SPLIT = "split"
    DATA = "enough_data"
    ERRORS = "errors"
    SLOW = "slow_answers"
    QUANTILE = "latency_quantile"
    METRIC = "model_metric"


@dataclass(frozen=True)
class Watched:
    """What one arm did in the present step."""

    requests: int
    errors: int
    slow: int  # answers above the latency budget
    losses: Sample  # the metric as a loss of each row with feedback: smaller is better

    def problems(self) -> Iterator[str]:
        """Counts that contradict each other."""
        if min(self.requests, self.errors, self.slow) < 0:
            yield f"a count is negative: {self.requests} requests, {self.errors} errors, {self.slow} slow"
        if max(self.errors, self.slow) > self.requests:
            yield f"{self.errors} errors and {self.slow} slow answers in {self.requests} requests"


@dataclass(frozen=True)
class Levels:
    """How wrong a judgement may be."""

    harm: float  # of calling a canary worse that is not
    harmless: float  # of passing one that is worse by more than the margin
    share: float | None  # of the traffic, as asked; None: the split is another one


def split(asked: float, canary: int, champion: int, *, alpha: float) -> Verdict:
    """Is the traffic split as asked?"""
    p = float(sequential.p_value(sequential.imbalance([canary, champion], [asked, 1 - asked])))
    total = canary + champion
    seen = canary / max(total, 1)
    numbers = {"asked": asked, "seen": seen, "p": p}
    what = f"the canary took {seen:.2%} of {total} requests, asked were {asked:.2%} (p {p:.2g})"
    if p > alpha:
        return Verdict(Signal.SPLIT, Outcome.PASS, f"{what}.", numbers)
    remedy = "look for retries, lost log segments and caches before believing a comparison"
    return Verdict(Signal.SPLIT, Outcome.ERROR, f"{what}: {remedy}.", numbers)


def events(name: str, ours: tuple[int, int], theirs: tuple[int, int], *, margin: float, levels: Levels) -> Verdict:
    """Do bad events, (how many, of how many requests), hit the canary more often?"""
    gap = sequential.share_gap(ours, theirs, alpha=levels.harmless)
    rates = [bad / max(count, 1) for bad, count in (ours, theirs)]
    numbers = {"canary": rates[0], "champion": rates[1]}
    if levels.share is None:
        harm = float(sequential.share_gap(ours, theirs, alpha=levels.harm).low) > 0
    else:
        numbers["log_e"] = float(sequential.excess(ours[0], theirs[0], share=levels.share))
        numbers["log_e_to_fail"] = -log(levels.harm)
        harm = numbers["log_e"] >= numbers["log_e_to_fail"]
    return _placed(name, f"{rates[0]:.3%} against {rates[1]:.3%}", gap, margin, harm, numbers)


def losses(
    name: str, ours: Sample, theirs: Sample, *, margin: float, minimum: int, demanded: bool, levels: Levels
) -> Verdict:
    """Is the model's loss larger? Binds as soon as there is enough feedback; demanded, before that too."""
    labels = min(int(ours.count), int(theirs.count))  # type: ignore[arg-type]
    if labels < minimum:
        outcome = Outcome.INCONCLUSIVE if demanded else Outcome.PASS
        note = "it is demanded" if demanded else "not judged, as it is not demanded"
        reason = f"{labels} rows with feedback on the arm that has fewer, {minimum} are needed: {note}."
        return Verdict(name, outcome, reason, {"labels": float(labels)})
    harm = float(sequential.mean_gap(ours, theirs, alpha=levels.harm, scale=margin).low) > 0
    gap = sequential.mean_gap(ours, theirs, alpha=levels.harmless, scale=margin)
    means = float(ours.mean), float(theirs.mean)
    numbers = {"canary": means[0], "champion": means[1], "labels": float(labels)}
    return _placed(name, f"loss {means[0]:.4f} against {means[1]:.4f}", gap, margin, harm, numbers)


def quantile(ours: tuple[int, int], theirs: tuple[int, int], *, at_most: float, levels: Levels) -> Verdict:
    """Does the canary keep the share of slow answers that the budget allows?

    At most 5 % above the budget is the same as p95 within it.
    """
    slow, count = zip(ours, ours, theirs, strict=True)
    alphas = [levels.harmless, levels.harm, levels.harmless]
    lows, highs = sequential.share_interval(slow, count, alpha=alphas)
    numbers = {
        "low": float(lows[0]),
        "high": float(highs[0]),
        "champion_high": float(highs[2]),
        "at_most": at_most,
    }
    proven = float(lows[1]) > at_most
    seen = f"{numbers['low']:.2%} to {numbers['high']:.2%}"
    what = f"{seen} of answers are above the budget, allowed are {at_most:.0%}"
    if numbers["high"] <= at_most:
        return Verdict(Signal.QUANTILE, Outcome.PASS, f"{what}.", numbers)
    if proven and numbers["champion_high"] <= at_most:
        return Verdict(Signal.QUANTILE, Outcome.FAIL, f"{what}; the champion keeps it.", numbers)
    note = "the champion does not keep it either: look at the load" if proven else "keep watching"
    return Verdict(Signal.QUANTILE, Outcome.INCONCLUSIVE, f"{what}; {note}.", numbers)


def _placed(name: str, what: str, gap: Bounds, margin: float, harm: bool, numbers: dict[str, float]) -> Verdict:
    low, high = float(gap.low), float(gap.high)
    numbers |= {"low": low, "high": high, "margin": margin}
    told = f"{what}, difference {low:+.4f} to {high:+.4f}, margin {margin:g}"
    if high <= margin:
        return Verdict(name, Outcome.PASS, f"{told}: within the margin.", numbers)
    if harm:
        return Verdict(name, Outcome.FAIL, f"{told}: proven to be worse.", numbers)
    return Verdict(name, Outcome.INCONCLUSIVE, f"{told}: keep watching.", numbers)
