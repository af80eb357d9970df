"""The bundles: immutable folders named by their digest, on disk or in an object store.

What is in one, `serving/contract/bundle.py` says.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.resources.lake.files import file_system, is_local

if TYPE_CHECKING:
    from serving.contract.bundle import Bundle


class Bundles(dg.ConfigurableResource["Bundles"]):
    """Writes bundles and opens them by digest."""

    root: str  # a folder, or an fsspec URL
    cache: str  # local folder for bundles of a remote root

    @property
    def folder(self) -> Path:
        """Where bundles are written on this machine."""
        local = Path(self.cache if self._remote else self.root)
        local.mkdir(parents=True, exist_ok=True)
        return local

    def keep(self, digest: str) -> str:
        """Make a bundle that was written to `folder` known to everybody."""
        if self._remote:
            self._upload(self.folder / digest, digest)
        return digest

    def open(self, digest: str) -> "Bundle":
        """The bundle, every file checked against its digest."""
        from serving.contract.bundle import open_bundle

        folder = self.path(digest)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.root}: no bundle {digest}. Materialise serving_model, or fetch it from the registry."
            )
        return open_bundle(folder)

    def path(self, digest: str) -> Path:
        """The bundle's folder on this machine."""
        local = self.folder / digest
        if self._remote and not local.is_dir():
            self._download(digest, local)
        return local

    @property
    def _remote(self) -> bool:
        return not is_local(self.root)

    def _upload(self, folder: Path, digest: str) -> None:
        """The manifest goes last: a reader that finds it finds the rest."""
        from serving.contract.bundle import MANIFEST

        files, base = file_system(f"{self.root.rstrip('/')}/{digest}")
        for file in sorted(folder.iterdir(), key=lambda each: each.name == MANIFEST):
            files.pipe_file(f"{base}/{file.name}", file.read_bytes())

    def _download(self, digest: str, local: Path) -> None:
        from serving.contract.bundle import MANIFEST

        files, base = file_system(f"{self.root.rstrip('/')}/{digest}")
        if not files.exists(f"{base}/{MANIFEST}"):  # not there, or not all of it yet
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            aside = Path(folder) / digest
            aside.mkdir()
            for entry in files.ls(base, detail=False):
                (aside / entry.rsplit("/", 1)[-1]).write_bytes(files.cat_file(entry))
            if not local.exists():
                aside.rename(local)
