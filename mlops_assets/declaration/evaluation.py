"""What a candidate must show before it is registered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SliceSpec:
    """A part of the rows on which quality is told apart: by value, or by quantile bins of a number."""

    column: str
    bins: int  # 0: by value
    minimum: int  # rows under which nothing is concluded


@dataclass(frozen=True)
class FairnessSpec:
    """Largest allowed differences between groups of each protected attribute."""

    attributes: tuple[str, ...]
    demographic_parity: float | None
    equalised_odds: float | None
    minimum: int


@dataclass(frozen=True)
class GateSpec:
    metric: str  # primary: auc, average_precision, accuracy, log_loss, brier, f1, r2, mae, rmse
    confidence: float
    guard_loss: float  # the most a guard slice may lose against the champion
    baselines: tuple[str, ...]  # those the candidate must beat
    baseline_margin: float | None  # none: the constant by more than 0, of the others none may be shown ahead
    anchor: str  # "first", or a version number
    anchor_loss: float  # the most that may be lost against the anchor
    floor: float | None  # the primary metric must reach it
    ceiling: float | None  # a score above it means a leak
    calibration: float | None  # largest expected calibration error
    robustness: float | None  # largest loss under the perturbations
    minimum_rows: int
