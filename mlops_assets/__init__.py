"""From a declaration in YAML to a model that lives in production, as Dagster assets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_assets.lifecycle import ModelLifecycle

__all__ = ["ModelLifecycle"]


def __getattr__(name: str) -> Any:
    """The component when it is asked for: the domain can be imported without Dagster."""
    if name in __all__:
        from mlops_assets import lifecycle

        return getattr(lifecycle, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
