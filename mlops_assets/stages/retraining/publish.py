"""What the asset graph shows of a decision to train again. For people: a sensor reads the stored record instead."""

from typing import Any

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer, Stage, retrain_sensor
from mlops_assets.domain.retraining.records import DecisionRecord
from mlops_assets.stages.metadata import table


def decision_metadata(spec: ModelSpec, record: DecisionRecord) -> dict[str, Any]:
    decision, evidence = record.decision, record.evidence
    inputs = (evidence.drift, evidence.realised, evidence.estimated, evidence.trust)
    verdicts = [*decision.verdicts, *(verdict for verdict in inputs if verdict is not None)]
    rows = [[verdict.name, verdict.outcome.value, verdict.reason] for verdict in verdicts]
    return {
        "yes": decision.yes,
        "reason": decision.reason,
        "cause": decision.cause.value if decision.cause else "none",
        "run_key": decision.run_key or "",
        "made_at": record.made_at.isoformat(),
        "outcome": decision.outcome.value,
        "champion": evidence.champion or "none",
        "window": evidence.window or "none",
        "verdicts": table(("what", "outcome", "reason"), rows),
        "numbers": table(("number", "value"), [[name, f"{value:.6g}"] for name, value in decision.numbers.items()]),
        "paused": evidence.paused,
        "switched_off": ", ".join(record.switched_off) or "nothing",
        "blast_radius": ", ".join(record.touched) or "nothing drifted that anything depends on",
        "false_retrains": record.false_retrains,
        "hours_of_a_run": evidence.cost if evidence.cost is not None else "not known",
        "next": f"{retrain_sensor(spec.model)} launches it" if decision.yes else "nothing is launched",
        "record": f"{spec.model}/{Layer.RECORDS}/{Stage.RETRAIN_DECISION}",
    }
