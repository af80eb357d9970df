"""Judges what a started Bento shows before its version gets any traffic. Measurements in, verdicts out.

Light at load: assets declare their checks by these names.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median, quantiles

from mlops_assets.domain.verdict import Outcome, Verdict


class ServingCheck(StrEnum):
    """In the order in which they are made."""

    GOLDEN = "golden_answers"
    DOORS = "doors_agree"
    PROVIDER = "provider"
    LATENCY = "endpoint_latency"
    REPLAY = "replay"


def find_obstacles(verdicts: Sequence[Verdict], *, all_at_once: bool) -> list[Verdict]:
    """The verdicts that stop a release: all that are no pass.

    A replay that could not be made does not stop a version that gets a part of the traffic first and is judged on it.
    """
    return [verdict for verdict in verdicts if not verdict.passed and (all_at_once or not _is_unmade_replay(verdict))]


def _is_unmade_replay(verdict: Verdict) -> bool:
    return verdict.name == ServingCheck.REPLAY and verdict.outcome is Outcome.INCONCLUSIVE


def judge_golden(wrong: Sequence[str], asked: int) -> Verdict:
    """`wrong`: every golden request that was not answered as expected, in words."""
    numbers = {"requests": float(asked), "wrong": float(len(wrong))}
    if wrong:
        return Verdict(ServingCheck.GOLDEN, Outcome.FAIL, "; ".join(wrong), numbers)
    return Verdict(ServingCheck.GOLDEN, Outcome.PASS, f"All {asked} golden requests answered as expected.", numbers)


def judge_doors(differences: Mapping[str, float], allowed: float) -> Verdict:
    """Largest difference of an answer between the graph in this process and each door of the endpoint."""
    far = {door: difference for door, difference in differences.items() if not difference <= allowed}
    told = ", ".join(f"{door} {difference:.3g}" for door, difference in differences.items())
    if far:
        reason = f"Answers through {', '.join(far)} differ from those of the bundle by more than {allowed:g}: {told}."
        return Verdict(ServingCheck.DOORS, Outcome.FAIL, reason, dict(differences))
    reason = f"The same rows get the same answers in this process and through every door: {told}."
    return Verdict(ServingCheck.DOORS, Outcome.PASS, reason, dict(differences))


def judge_provider(asked: str, ran: str) -> Verdict:
    """`auto` takes what there is; anything else must be what ran."""
    numbers = {"gpu": float(ran != "cpu")}
    if asked not in ("auto", ran):
        reason = f"serving.provider is {asked}, the Bento ran on {ran}. Deploy where the provider is, or ask for auto."
        return Verdict(ServingCheck.PROVIDER, Outcome.FAIL, reason, numbers)
    return Verdict(ServingCheck.PROVIDER, Outcome.PASS, f"Asked for {asked}, ran on {ran}.", numbers)


def judge_latency(milliseconds: Sequence[float], budget: float) -> Verdict:
    """Whole requests with one row, over HTTP: the median within the budget."""
    middle, p95 = median(milliseconds), quantiles(milliseconds, n=20)[-1]
    numbers = {"median_ms": middle, "p95_ms": p95, "budget_ms": budget}
    told = f"One row takes {middle:.2f} ms at the median, {p95:.2f} ms at p95, over {len(milliseconds)} requests"
    if middle > budget:
        return Verdict(ServingCheck.LATENCY, Outcome.FAIL, f"{told}: above the budget of {budget:g} ms.", numbers)
    return Verdict(ServingCheck.LATENCY, Outcome.PASS, f"{told}, budget {budget:g} ms.", numbers)
