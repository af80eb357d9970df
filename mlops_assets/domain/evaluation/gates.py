"""Decides whether a candidate may be promoted. Never computes a score, never reads a registry.

One rule for every number that has an interval: the whole interval on the good side of the limit passes,
on the bad side fails, a limit inside the interval is inconclusive. Each bound holds alone with the
policy's confidence, so a wrong pass happens in at most (1 - confidence) of trials. This goes for the gain
over champion, anchor, baselines and on slices, for the floor, and for fairness: the burden of proof lies
with the model. Only a pass promotes.

Exceptions, each for a reason:
- Baselines other than the constant need not be beaten unless `gates.baseline_margin` is declared: they must
  not be shown to be ahead. On small or simple data an honest network is level with a linear model.
- A calibration error passes by its estimate: chance alone makes it larger, never smaller, and on some hundred
  rows a well calibrated model could not prove itself.
- The ceiling is a suspicion of a leak and needs no proof: an estimate above it fails.
- A slice binds when it has the declared minimum of rows *and* these can decide: a slice that lost nothing
  would pass in at least four of five trials. Else it is reported, and blocks only when harm is proven.
  Without this, ten small slices would stop every candidate by noise alone.
- Robustness, latency and parity are measurements without an interval and are compared as they are.
- A limit that was declared and not measured is an error, not a fail.
"""

from collections.abc import Callable
from enum import StrEnum

from mlops_assets.declaration.evaluation import GateSpec
from mlops_assets.domain.evaluation.evidence import Disparity, Evidence, GuardSlice, Interval, Measured, Rival
from mlops_assets.domain.evaluation.interval_rule import (
    can_decide,
    combine_verdicts,
    fail_unmeasured,
    judge_interval,
    judge_measured,
    pass_undeclared,
)
from mlops_assets.domain.evaluation.refit.gate import judge_refit
from mlops_assets.domain.verdict import Outcome, Verdict

_NO_MODEL = "constant"  # the baseline that has learnt nothing


class Gate(StrEnum):
    """The gates, in the order in which they are told. Each is one blocking asset check."""

    ROWS = "enough_rows"
    FLOOR = "floor"
    CEILING = "ceiling"
    CHAMPION = "better_than_champion"
    SLICES = "no_slice_harmed"
    ANCHOR = "close_to_anchor"
    BASELINES = "better_than_baselines"
    CALIBRATION = "calibrated"
    FAIRNESS = "fair"
    ROBUSTNESS = "robust"
    LATENCY = "fast_enough"
    PARITY = "serves_what_was_trained"
    REFIT = "refit_sound"


def judge(policy: GateSpec, evidence: Evidence) -> tuple[Verdict, ...]:
    """One verdict for each gate, in the order of `Gate`. Where nothing is declared it passes and says so."""
    return tuple(_JUDGES[gate](gate, policy, evidence) for gate in Gate)


def _enough_rows(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    numbers = {"rows": float(evidence.rows), "minimum": float(policy.minimum_rows)}
    if evidence.rows >= policy.minimum_rows:
        return Verdict(gate, Outcome.PASS, f"{evidence.rows} test rows.", numbers)
    reason = (
        f"{evidence.rows} test rows, gates.minimum_rows asks for {policy.minimum_rows}: "
        "collect more labelled rows, raise training.test, or lower gates.minimum_rows knowingly."
    )
    return Verdict(gate, Outcome.INCONCLUSIVE, reason, numbers)


def _floor(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if policy.floor is None:
        return pass_undeclared(gate, "gates.floor")
    sign = 1 if evidence.higher_is_better else -1
    what = f"{evidence.metric} {evidence.score}, floor {policy.floor:g}"
    remedy = "train on more or better features, or lower gates.floor knowingly."
    return judge_interval(gate, what, evidence.score, policy.floor, remedy, sign=sign)


def _ceiling(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if policy.ceiling is None:
        return pass_undeclared(gate, "gates.ceiling")
    estimate, sign = evidence.score.estimate, 1 if evidence.higher_is_better else -1
    numbers = {"score": estimate, "limit": policy.ceiling}
    what = f"{evidence.metric} {estimate:.4f}, ceiling {policy.ceiling:g}"
    if sign * (estimate - policy.ceiling) <= 0:
        return Verdict(gate, Outcome.PASS, f"{what}: not too good to be true.", numbers)
    reason = (
        f"{what}: too good to be true. A feature probably knows the label: look at the most important "
        "columns and at when each value became known; raise gates.ceiling only when the score is explained."
    )
    return Verdict(gate, Outcome.FAIL, reason, numbers)


def _champion(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    return _against(gate, "champion", evidence.champion, 0.0, "keep the champion; the candidate has to be better.")


def _anchor(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    remedy = "small losses have added up since the anchor: look at what changed, or move gates.anchor knowingly."
    return _against(gate, "anchor", evidence.anchor, -policy.anchor_loss, remedy)


def _against(gate: Gate, name: str, rival: Rival, limit: float, remedy: str) -> Verdict:
    if rival.version is None:
        return Verdict(
            gate, Outcome.PASS, f"No {name} yet: nothing to compare with; baselines and floor still bind.", {}
        )
    if rival.same:
        return Verdict(gate, Outcome.PASS, f"This is {name} version {rival.version} itself: nothing changes.", {})
    if rival.gain is None:
        reason = f"{name} version {rival.version} was not compared: {rival.problem or 'no gain was given'}"
        return Verdict(gate, Outcome.ERROR, reason, {})
    where = f" on {rival.basis}" if rival.basis else ""
    what = f"gain over {name} version {rival.version} {rival.gain}{where}"
    return judge_interval(gate, what, rival.gain, limit, remedy)


def _slices(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if evidence.champion.version is None or not evidence.guards:
        why = "no slices declared" if evidence.champion.version else "no champion yet"
        return Verdict(gate, Outcome.PASS, f"Nothing to guard: {why}.", {})
    judged = [_guarded(gate, guard, policy.guard_loss) for guard in evidence.guards]
    binding = [verdict for verdict in judged if verdict is not None]
    open_slices = len(judged) - len(binding)
    note = (
        f" {open_slices} of {len(judged)} slices have too few rows to decide; they do not block." if open_slices else ""
    )
    if not binding:
        return Verdict(gate, Outcome.PASS, f"No slice binds.{note}", {"open": float(open_slices)})
    found = combine_verdicts(gate, binding, f"no slice lost more than {policy.guard_loss:g}")
    return Verdict(gate, found.outcome, found.reason + note, {**found.numbers, "open": float(open_slices)})


def _guarded(gate: Gate, guard: GuardSlice, loss: float) -> Verdict | None:
    """The verdict on one slice; None where its rows cannot decide."""
    if guard.gain is None or guard.rows < guard.minimum:
        return None
    remedy = f"look at these {guard.rows} rows; or allow more with gates.guard_loss knowingly."
    verdict = judge_interval(
        gate, f"{guard.name}: gain {guard.gain}", guard.gain, -loss, remedy, prefix=f"{guard.name} "
    )
    return verdict if verdict.outcome is Outcome.FAIL or can_decide(guard.gain, loss) else None


def _baselines(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if not policy.baselines:
        return pass_undeclared(gate, "gates.baselines")
    verdicts = [
        _baseline(gate, name, policy.baseline_margin, evidence.baselines.get(name)) for name in policy.baselines
    ]
    return combine_verdicts(gate, verdicts, "; ".join(verdict.reason.rstrip(".") for verdict in verdicts))


def _baseline(gate: Gate, name: str, margin: float | None, gain: Interval | None) -> Verdict:
    """Without a declared margin only the constant has to be beaten; where nobody is ahead the reason says so."""
    if gain is None:
        return Verdict(gate, Outcome.ERROR, f"baseline {name} is declared and has no scores on the test rows.", {})
    remedy = f"what {name} does is enough; improve features or network, or serve the simpler model (gates.baselines)."
    judged = judge_interval(gate, f"gain over {name} {gain}", gain, margin or 0.0, remedy, prefix=f"{name}_")
    if margin is not None or name == _NO_MODEL or judged.outcome is not Outcome.INCONCLUSIVE:
        return judged
    reason = f"gain over {name} {gain}: neither is shown to be ahead; {name} would be the simpler model to serve."
    return Verdict(gate, Outcome.PASS, reason, judged.numbers)


def _calibration(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if policy.calibration is None:
        return pass_undeclared(gate, "gates.calibration")
    if evidence.calibration is None:
        return fail_unmeasured(gate, "gates.calibration")
    what = f"calibration error {evidence.calibration}, limit {policy.calibration:g}"
    remedy = (
        "turn on training.calibrate, or raise gates.calibration knowingly; the reliability plot shows where it is off."
    )
    judged = judge_interval(gate, what, evidence.calibration, policy.calibration, remedy, sign=-1)
    if judged.outcome is Outcome.INCONCLUSIVE and evidence.calibration.estimate <= policy.calibration:
        return Verdict(gate, Outcome.PASS, f"{what}: within it, though these rows cannot prove it.", judged.numbers)
    return judged


def _fairness(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if not evidence.fairness.disparities and not evidence.fairness.unmeasured:
        return pass_undeclared(gate, "fairness")
    verdicts = [_disparity(gate, disparity) for disparity in evidence.fairness.disparities]
    verdicts += [Verdict(gate, Outcome.ERROR, reason, {}) for reason in evidence.fairness.unmeasured]
    return combine_verdicts(gate, verdicts, "every difference between groups is within its limit")


def _disparity(gate: Gate, found: Disparity) -> Verdict:
    what = f"{found.attribute}: {found.measure} difference {found.difference}, limit {found.limit:g}"
    remedy = f"{found.lowest} and {found.highest} are furthest apart: reweight them, or set thresholds by group."
    prefix = f"{found.attribute}_{found.measure.replace(' ', '_')}_"
    return judge_interval(gate, what, found.difference, found.limit, remedy, sign=-1, prefix=prefix)


def _robustness(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    found = evidence.robustness
    if found is not None and found.non_finite:
        broken = [s.name for s in (*found.stresses, *found.outages) if s.non_finite]
        reason = f"{found.non_finite} answers are not numbers under: {', '.join(broken)}. Clip the input."
        return Verdict(gate, Outcome.FAIL, reason, {"non_finite": float(found.non_finite)})
    if policy.robustness is None:
        return pass_undeclared(gate, "gates.robustness")
    if found is None:
        return fail_unmeasured(gate, "gates.robustness")
    losses = [
        Measured(s.loss, policy.robustness, f"loss of {evidence.metric} with {s.name}")
        for s in found.stresses
        if s.loss is not None
    ]
    return judge_measured(gate, losses, "train with dropped cells, or clip and fill at the source.")


def _latency(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if evidence.latency is None:
        return fail_unmeasured(gate, "serving.latency_ms")
    return judge_measured(
        gate, (evidence.latency,), "use a smaller network or a lower precision, or raise serving.latency_ms."
    )


def _parity(gate: Gate, policy: GateSpec, evidence: Evidence) -> Verdict:
    if not evidence.parity:
        return fail_unmeasured(gate, "serving.parity")
    return judge_measured(gate, evidence.parity, "serve fp32, or find the step of the export that differs.")


_JUDGES: dict[Gate, Callable[[Gate, GateSpec, Evidence], Verdict]] = {
    Gate.ROWS: _enough_rows,
    Gate.FLOOR: _floor,
    Gate.CEILING: _ceiling,
    Gate.CHAMPION: _champion,
    Gate.SLICES: _slices,
    Gate.ANCHOR: _anchor,
    Gate.BASELINES: _baselines,
    Gate.CALIBRATION: _calibration,
    Gate.FAIRNESS: _fairness,
    Gate.ROBUSTNESS: _robustness,
    Gate.LATENCY: _latency,
    Gate.PARITY: _parity,
    Gate.REFIT: lambda gate, _, evidence: judge_refit(gate, evidence.refit),
}
