"""How strong a change is, as a multiple of the least that is material. Pure."""

from collections.abc import Mapping

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.window import DriftFinding, WindowDrift

_WHOLLY = 2.0  # strength of a change that has no size: a column that is gone


def measure_strengths(window: WindowDrift, policy: DriftPolicy) -> Mapping[str, float]:
    """What was compared → its largest change as a multiple of the least that is material."""
    found: dict[str, float] = {}
    for each in window.findings:
        name = describe_column(each)
        found[name] = max(found.get(name, 0.0), _strength(each, policy))
    return found


def describe_column(finding: DriftFinding) -> str:
    """The column as a person knows it."""
    if finding.aspect is Aspect.PREDICTION:
        return f"answer: {finding.column}"
    return f"outcome: {finding.column}" if finding.aspect is Aspect.LABEL else finding.column


def _strength(finding: DriftFinding, policy: DriftPolicy) -> float:
    numbers = finding.verdict.numbers
    if finding.aspect is Aspect.SCHEMA:
        return _WHOLLY if finding.drifted else 0.0
    sizes = [
        numbers.get("moved", 0.0) / policy.moved,
        numbers.get("change", 0.0) / policy.correlation,
        numbers.get("ks", 0.0) / policy.ks,
        numbers.get("cramers_v", 0.0) / policy.cramers_v,
        max(numbers.get("auc", 0.5) - 0.5, 0.0) / (policy.together - 0.5),
    ]
    if numbers.get("rows", 0.0) >= policy.psi_rows:
        sizes.append(numbers.get("psi_beyond_chance", 0.0) / policy.psi)
    if "share" in numbers:
        change = numbers["share"] - numbers["share_in_training"]
        sizes.append((abs(change) if finding.aspect is Aspect.MISSING else change) / _limit(finding.aspect, policy))
    return max(sizes)


def _limit(aspect: Aspect, policy: DriftPolicy) -> float:
    limits = {Aspect.MISSING: policy.null_share, Aspect.RANGE: policy.out_of_range, Aspect.UNSEEN: policy.unseen}
    return limits[aspect]
