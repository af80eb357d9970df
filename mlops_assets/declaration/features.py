"""What the model sees of its data."""

from pydantic import Field

from mlops_assets.declaration.values import Count, DeclaredPart, Duration, Items


class FeatureSpec(DeclaredPart):
    """What the model sees: a Feast feature service, or plain columns of the examples' feed."""

    service: str | None = Field(
        default=None, description="The name, without its version, of a feature service in feature_repo/<model>.py."
    )
    version: Count = Field(
        default=1, description="The version of the service; it must be raised when the features change."
    )
    columns: Items[str] = Field(
        default=(),
        description="The columns of the examples' feed that are features. Default: all but the key, the times, the "
        "target and `exclude`.",
    )
    exclude: Items[str] = Field(
        default=(), description="The columns that must not be features, such as those known only afterwards."
    )
    known: Items[str] = Field(
        default=(),
        description="The features that may explain the outcome nearly alone, because they are known when a prediction "
        "is asked for; the check no_leak does not suspect them.",
    )
    categories: Items[str] = Field(
        default=(), description="The number columns whose numbers are codes, and not quantities."
    )
    entity: Items[str] = Field(
        default=(),
        description="The columns by which an online lookup finds a row. Default: the key of the feed, or the row.",
    )
    ttl: Duration | None = Field(
        default=None, description="The age from which a value counts as missing. Default: a value never expires."
    )
