"""Registries to run the conformance suite over, and what fills them."""

import pytest

from mlops_assets.domain.registry.versions import Bump, VersionInfo
from mlops_assets.resources.registry.model_registry import Registry
from tests.fakes.registry import FakeRegistry
from tests.kit.bundles import tiny_bundle
from tests.kit.samples import candidate, made_of


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Registry:
    """One database for the session: its first touch runs MLflow's migrations."""
    home = tmp_path_factory.mktemp("mlflow")
    return Registry(
        tracking_uri=f"sqlite:///{home}/mlflow.db",
        artifact_root=str(home / "artifacts"),
        lock_folder=str(home / "locks"),
        ui_url="http://localhost:5000",
        dagster_url="http://localhost:3000",
    )


@pytest.fixture(params=["mlflow", "fake"])
def registry(request, tmp_path):
    return request.getfixturevalue("store") if request.param == "mlflow" else FakeRegistry(tmp_path / "fake")


@pytest.fixture
def model(request) -> str:
    """A name of its own for each test, since the store is shared."""
    return "".join(letter if letter.isalnum() else "_" for letter in request.node.name)


@pytest.fixture
def add(registry, model, tmp_path):
    """Register a bundle with this content; `given` goes to the candidate."""

    def registered(content: str = "one", **given):
        bundle = tiny_bundle(tmp_path / "bundles", content)
        with registry.run(model, "training", key=f"train:{content}") as run:
            asked = candidate(model, bundle.name, run.run_id, **given)
        return registry.register(asked, bundle, made_of(bundle.name), card)

    return registered


def card(bump: Bump, previous: VersionInfo | None) -> str:
    return f"# {bump.semantic} after {previous.semantic if previous else 'nothing'}\n"
