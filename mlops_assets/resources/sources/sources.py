"""The databases of this deployment, and the one way to open a model's source. `declared.py` reads it."""

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.declaration.model import ModelSpec

if TYPE_CHECKING:
    from mlops_assets.resources.sources.declared import DeclaredSource


class Sources(dg.ConfigurableResource["Sources"]):
    """Opens a model's source."""

    databases: dict[str, str]  # name of a connection → SQLAlchemy URL

    def open(self, spec: ModelSpec) -> "DeclaredSource":
        """The source that the model declares."""
        from mlops_assets.resources.sources.declared import DeclaredSource, open_reader

        readers = {name: open_reader(spec, feed, self.databases) for name, feed in spec.source.feeds.items()}
        return DeclaredSource(spec, readers)
