"""The lake: Parquet on disk or in an object store, one folder a table, one snapshot a partition.

Knows nothing of models beyond their folder names. Light: assets name it at load; `table.py` holds what needs Arrow.
"""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.domain.names import Layer
from mlops_assets.resources.lake.files import fetch_folder, file_system, is_local, names_in, put_folder

if TYPE_CHECKING:
    from mlops_assets.resources.lake.table import Table


class Lake(dg.ConfigurableResource["Lake"]):
    """Tables and immutable folders under one root."""

    root: str

    def table(self, model: str, layer: Layer, name: str) -> "Table":
        """One table of one model, e.g. `lake.table("flight_delay", Layer.RAW, "weather")`."""
        from mlops_assets.resources.lake.table import Table

        return Table(self.place(f"{model}/{layer}/{name}"))

    def names(self, model: str, layer: Layer) -> list[str]:
        """The tables a layer holds."""
        return names_in(self.place(f"{model}/{layer}"))

    def place(self, relative: str) -> str:
        """The path or URL of something in the lake."""
        return f"{self.root.rstrip('/')}/{relative}"

    def publish(self, model: str, layer: Layer, name: str, folder: Path) -> str:
        """Move a finished local folder into the lake under a name that is never reused; returns its relative path.

        A folder of that name that is already there is the same content: the new one is dropped.
        """
        relative = f"{model}/{layer}/{name}"
        put_folder(self.place(relative), folder)
        return relative

    def publish_copy(self, model: str, layer: Layer, name: str, folder: Path) -> str:
        """The same with a copy: the folder stays where it is for the next run to find."""
        with tempfile.TemporaryDirectory() as aside:
            copy = Path(aside) / name
            shutil.copytree(folder, copy)
            return self.publish(model, layer, name, copy)

    def fetch(self, relative: str, cache: Path) -> Path:
        """A published folder as a local path; remote ones are copied into `cache` once."""
        source = self.place(relative)
        files, path = file_system(source)
        if not files.exists(path):
            raise FileNotFoundError(f"{path}: not in the lake. Materialise the asset that makes it, then try again.")
        return Path(path) if is_local(source) else fetch_folder(source, cache / relative)
