"""The names of the checks on data, and how problems are told. Light: assets declare checks at load."""

from collections.abc import Sequence

from mlops_assets.declaration.validation import ValidationSpec

RAW_CHECKS = ("kept_rows", "no_repeats", "kept_schema", "every_row_timed")
SCHEMA, VOLUME, FRESHNESS, QUARANTINE = "schema", "volume", "freshness", "quarantine"
NULLS, DISTRIBUTION = "nulls", "distribution"
ONLINE, LEAKAGE, TELLING = "offline_equals_online", "no_future_in_features", "no_leak"
ONLY_WARNS = (DISTRIBUTION,)

_SHOWN = 12  # problems told one by one


def vital_checks(validation: ValidationSpec) -> list[str]:
    """The checks on partitions that a declaration asks for."""
    declared = {
        VOLUME: True,
        FRESHNESS: validation.freshness is not None,
        QUARANTINE: True,
        NULLS: any(each.nulls for each in validation.expectations),
        DISTRIBUTION: any(each.drift for each in validation.expectations),
    }
    return [name for name, is_declared in declared.items() if is_declared]


def listed(problems: Sequence[str]) -> str:
    """Several problems in one line, told one by one up to a dozen."""
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "; ".join([*problems[:_SHOWN], *more])
