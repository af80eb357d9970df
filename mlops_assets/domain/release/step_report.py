"""Tells a person where a step stands: what was seen of each arm, each signal, what is missing until the next one."""

from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.step_decision import StepDecision
from mlops_assets.domain.release.step_evidence import StepObservations
from mlops_assets.domain.verdict import Outcome


def write_step_report(decision: StepDecision, state: ReleaseState, seen: StepObservations) -> str:
    """The whole reason, as plain text in a few lines."""
    lines = [f"{decision.action.value}: generation {state.generation}, {state.strategy.value}, since {seen.elapsed}."]
    for arm in state.arms:
        watched = seen.arms[arm.name]
        counts = f"{watched.requests} requests, {watched.errors} errors, {watched.slow} slow"
        losses = f"{watched.losses.count} outcomes"
        if watched.losses.count:
            losses += f" with mean loss {float(watched.losses.mean):.4f}"
        lines.append(f"{arm.name} {arm.version} ({arm.weight:.0%}): {counts}, {losses}.")
    if missing := [v for v in decision.verdicts if v.outcome is not Outcome.PASS]:
        lines += [f"{v.name} {v.outcome.value}: {v.reason}" for v in missing]
    else:
        lines.append(decision.reason)
    lines += [f"Note: {note}." for note in seen.notes]
    if passed := [v.name for v in decision.verdicts if v.outcome is Outcome.PASS]:
        lines.append(f"Passed: {', '.join(passed)}.")
    return "\n".join(lines)


def write_step_tables(decision: StepDecision, state: ReleaseState, seen: StepObservations) -> str:
    """The same as tables, for the metadata of the step."""
    arms = [
        "| arm | version | share | requests | errors | slow | outcomes | loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in state.arms:
        watched = seen.arms[arm.name]
        loss = f"{float(watched.losses.mean):.4f}" if watched.losses.count else "none"
        cells = (arm.name, arm.version, f"{arm.weight:.0%}", watched.requests, watched.errors, watched.slow)
        arms.append(f"| {' | '.join(map(str, cells))} | {watched.losses.count} | {loss} |")
    signals = ["| signal | outcome | reason |", "|---|---|---|"]
    signals += [f"| {v.name} | {v.outcome.value} | {v.reason.replace('|', '/')} |" for v in decision.verdicts]
    notes = [f"Note: {note}." for note in seen.notes]
    head = f"**{decision.action.value}** after {seen.elapsed}: {decision.reason}"
    return "\n".join([head, "", *arms, "", *signals, "", *notes]).strip() + "\n"
