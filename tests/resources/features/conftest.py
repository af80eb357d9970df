"""Feature stores of a real Feast, each in a folder of its own."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from mlops_assets.declaration.features import FeatureSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from tests.kit.specs import model_spec

NOON = datetime(2013, 1, 2, 17, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
REPO = Path(__file__).parents[3] / "feature_repo"


def feature_spec(**changes) -> FeatureSpec:
    plain = FeatureSpec(service=None, version=1, columns=(), exclude=(), categories=(), entity=("shop",), ttl=None)
    return plain.with_changes(**changes)


def flights() -> ModelSpec:
    return model_spec(model="flight_delay", features=feature_spec(service="flight_delay", entity=()))


def shops(**changes) -> ModelSpec:
    return model_spec(model="shops", features=feature_spec(**changes))


def opened(folder: Path) -> FeatureStore:
    home = folder / "feast"
    return FeatureStore(
        repo=str(REPO),
        home=str(home),
        lake=str(folder / "lake"),
        online_store=f"sqlite:///{home}/online.db",
        registry=f"sqlite:///{home}/registry.db",
    )


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def features(tmp_path) -> FeatureStore:
    return opened(tmp_path)
