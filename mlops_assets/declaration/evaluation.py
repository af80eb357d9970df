"""What a candidate must show before it is registered."""

from typing import Annotated, Literal

from pydantic import Field

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.values import (
    LEFT_OUT,
    Completed,
    Confidence,
    Count,
    DeclaredPart,
    Items,
    NotNegative,
    Positive,
    SomeShare,
    text_like,
)

Metric = Literal["auc", "average_precision", "accuracy", "log_loss", "brier", "f1", "r2", "mae", "rmse"]
METRICS: dict[Kind, tuple[Metric, ...]] = {  # the first is the default
    Kind.BINARY: ("auc", "average_precision", "accuracy", "log_loss", "brier", "f1"),
    Kind.MULTICLASS: ("accuracy", "f1", "log_loss", "auc"),
    Kind.REGRESSION: ("r2", "mae", "rmse"),
}
METRICS_IN_UNITS = ("mae", "rmse")  # no loss of these is small for every target


class SliceSpec(DeclaredPart):
    """A part of the rows for which quality is reported on its own, and guarded."""

    column: str = Field(description="The column that makes the slices: an input, or any other column of the examples.")
    bins: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The number of quantile bins of a number; with 0 every value is a slice."
    )
    minimum: Count = Field(default=200, description="The rows below which a slice is not judged.")


class FairnessSpec(DeclaredPart):
    """The groups that must be treated alike."""

    attributes: Items[str] = Field(default=(), description="The protected columns; they need not be inputs.")
    demographic_parity: SomeShare | None = Field(
        default=None, description="The largest difference of selection rates between groups. Default: no limit."
    )
    equalised_odds: SomeShare | None = Field(
        default=None, description="The largest difference of error rates between groups. Default: no limit."
    )
    minimum: Count = Field(default=200, description="The rows below which a group is not judged.")


class GateSpec(DeclaredPart):
    """What a candidate must show before it is registered."""

    metric: Completed[Metric] = Field(
        default=LEFT_OUT,
        description="The primary metric. Default: auc for binary, accuracy for multiclass, r2 for regression.",
    )
    confidence: Confidence = Field(default=0.975, description="The confidence of every bound, each on its own.")
    guard_loss: Completed[NotNegative] = Field(
        default=LEFT_OUT,
        description="The most that a slice may lose against the champion. Default: 0.02; mae and rmse need a value.",
    )
    baselines: Items[Literal["constant", "linear", "gradient_boosting"]] = Field(
        default=("constant", "linear"), description="The baselines that the candidate is compared with."
    )
    baseline_margin: float | None = Field(
        default=None,
        description="The margin by which every baseline has to be beaten with confidence. Default: the constant is "
        "beaten with confidence, and no other baseline is shown to be ahead.",
    )
    anchor: Annotated[str, text_like(r"^(first|\d+)$", "first or a version number")] = Field(
        default="first",
        description="The version that small losses add up against: first, or a version number.",
    )
    anchor_loss: Completed[NotNegative] = Field(
        default=LEFT_OUT,
        description="The most that may be lost against the anchor. Default: 0.02; mae and rmse need a value.",
    )
    floor: float | None = Field(
        default=None, description="The value that the primary metric has to reach. Default: no limit."
    )
    ceiling: float | None = Field(
        default=None, description="The value above which the score shows that the target leaks. Default: no limit."
    )
    calibration: Positive | None = Field(
        default=0.1, description="The largest expected calibration error; null sets no limit."
    )
    robustness: Positive | None = Field(
        default=None,
        description="The largest loss when a tenth of the values is missing, extreme or unknown. Default: no limit.",
    )
    minimum_rows: Count = Field(default=100, description="The test rows below which nothing is concluded.")
