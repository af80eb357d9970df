"""How the network is built, trained and searched for."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mlops_assets.declaration.values import (
    LEFT_OUT,
    Completed,
    Count,
    DeclaredPart,
    Duration,
    Items,
    NotNegative,
    Positive,
    SmallRisk,
    SomeShare,
)


class NetworkSpec(DeclaredPart):
    """The architecture."""

    type: str = Field(
        default="tabular", description="The built-in network tabular, or the dotted name of your own nn.Module."
    )
    width: Annotated[int, Field(ge=4)] = Field(default=128, description="The number of units in a layer.")
    depth: Count = Field(default=2, description="The number of residual blocks.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.3, description="The share of units that are dropped at random during training."
    )
    embedding: Count = Field(default=8, description="How many numbers represent one category.")
    bins: Annotated[int, Field(ge=2)] = Field(
        default=32, description="The number of pieces in the piecewise-linear encoding of a number."
    )
    options: Mapping[str, Any] = Field(default={}, description="The keyword arguments of your own nn.Module.")


class TrainingSpec(DeclaredPart):
    """How the network is trained, and on which rows."""

    window: Duration | None = Field(
        default=None, description="How far back the training rows reach. Default: they reach back to the first row."
    )
    validation: SmallRisk = Field(
        default=0.15, description="The share of rows that early stopping and calibration use."
    )
    test: SmallRisk = Field(default=0.2, description="The share of rows, the latest ones, that the evaluation uses.")
    gap: Completed[Duration] = Field(
        default=LEFT_OUT,
        description="The time that is left out between training, validation and test rows. Default: the target's "
        "`known_after`, or the time of its `absent` if that is longer.",
    )
    group: str | None = Field(
        default=None,
        description="The column whose equal values belong together, such as a customer; intervals count them as one.",
    )
    returning: Literal["keep", "leave_out"] = Field(
        default="keep",
        description="What becomes of later rows whose `group` earlier rows were learnt of. They are kept, as they come "
        "in production, and scored apart from new groups; with leave_out no group is both learnt and scored.",
    )
    refit: bool = Field(
        default=True,
        description="With true, the weights that are served learn every labelled row, the newest too; the test rows "
        "are scored by models that had not learnt them. With false, the model of the oldest rows is served.",
    )
    folds: Count = Field(
        default=3,
        description="How many models score the test rows one stretch after the other, each trained on all rows whose "
        "labels were known before its stretch. Each costs a training; `refit: false` needs none.",
    )
    epochs: Count = Field(default=12, description="The most epochs; early stopping usually ends training sooner.")
    batch_size: Annotated[int, Field(ge=8)] = Field(
        default=2048, description="The most rows of one step; small data gets smaller batches."
    )
    learning_rate: Positive = Field(default=2e-3, description="The highest learning rate of the schedule.")
    weight_decay: NotNegative = Field(default=0.1, description="The weight decay of AdamW.")
    patience: Count = Field(
        default=4, description="How many epochs without a better validation score end the training."
    )
    class_weights: bool = Field(
        default=False, description="With true, rare classes weigh more in training; answers are calibrated back."
    )
    calibrate: bool = Field(default=True, description="With true, probabilities are calibrated on the validation rows.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="The device to train on; cuda fails where there is no GPU."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="The precision of the arithmetic in training."
    )
    compile: bool = Field(default=False, description="With true, torch.compile is used on a GPU.")
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The seed; the same seed and data give the same weights."
    )


class Dimension(DeclaredPart):
    """One axis of the search: an interval, or a list of choices."""

    low: float | None = Field(default=None, description="The lowest value.")
    high: float | None = Field(default=None, description="The highest value.")
    log: bool = Field(default=False, description="With true, the search is even on the logarithm of the value.")
    integer: bool = Field(default=False, description="With true, only whole numbers are tried.")
    choices: Items[Any] = Field(default=(), description="The values to try, instead of an interval.")


class SearchSpec(DeclaredPart):
    """The search for better values of `network` and `training`."""

    trials: Annotated[int, Field(ge=0)] = Field(
        default=8, description="The number of trials; with 0 the declared values are used as they are."
    )
    sample: SomeShare = Field(default=0.3, description="The share of the training rows that a trial uses.")
    epochs: Count = Field(default=4, description="The most epochs of one trial.")
    timeout: Duration | None = Field(
        default=None, description="The time after which no new trial begins. Default: all trials run."
    )
    space: Mapping[str, Dimension] = Field(
        default={},
        description="The axes by field name, such as learning_rate. Default: width, depth, dropout and the rates.",
    )
