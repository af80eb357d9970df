"""Bundles by digest, on disk and in an object store that several machines share."""

import uuid

import fsspec
import pytest

from mlops_assets.resources.registry.bundles import Bundles
from serving.contract.bundle import MANIFEST, CorruptBundleError
from tests.kit.bundles import tiny_bundle


@pytest.fixture(params=["disk", "memory"])
def root(request, tmp_path) -> str:
    return str(tmp_path / "bundles") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"


def machine(root: str, folder) -> Bundles:
    """One machine's view: the store is shared, the cache is its own."""
    return Bundles(root=root, cache=str(folder))


def kept(bundles: Bundles) -> str:
    return bundles.keep(tiny_bundle(bundles.folder, "one").name)


def test_what_one_machine_keeps_another_opens(root, tmp_path):
    digest = kept(machine(root, tmp_path / "here"))
    opened = machine(root, tmp_path / "there").open(digest)
    assert opened.card == "# one\n"
    assert opened.path.name == digest


def test_a_bundle_that_nobody_kept_says_what_to_do(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no bundle abc\. Materialise serving_model, or fetch it"):
        machine(root, tmp_path / "here").open("abc")


def test_a_damaged_bundle_is_never_opened(root, tmp_path):
    bundles = machine(root, tmp_path / "here")
    digest = kept(bundles)
    graph = bundles.path(digest) / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(CorruptBundleError, match=r"model\.onnx"):
        bundles.open(digest)


def test_half_an_upload_is_no_bundle(tmp_path):
    root = f"memory://{uuid.uuid4().hex}"
    digest = kept(machine(root, tmp_path / "here"))
    files, base = fsspec.core.url_to_fs(f"{root}/{digest}")
    manifest = files.cat_file(f"{base}/{MANIFEST}")
    files.rm_file(f"{base}/{MANIFEST}")
    there = machine(root, tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="no bundle"):
        there.open(digest)
    files.pipe_file(f"{base}/{MANIFEST}", manifest)
    assert there.open(digest).card == "# one\n"


def test_a_remote_bundle_is_fetched_once(tmp_path):
    root = f"memory://{uuid.uuid4().hex}"
    digest = kept(machine(root, tmp_path / "here"))
    there = machine(root, tmp_path / "there")
    there.open(digest)
    files, base = fsspec.core.url_to_fs(root)
    files.rm(base, recursive=True)
    assert there.open(digest).card == "# one\n"
