"""The resources of this deployment. The only module that reads the environment.

| variable | meaning | default |
|---|---|---|
| MLOPS_HOME | folder of everything that is kept | `.mlops` in the project |
| MLOPS_LAKE | root of the lake: a path or an fsspec URL (`s3://bucket/lake`) | `$MLOPS_HOME/lake` |
| MLOPS_BUNDLES | root of the bundles: a path or an fsspec URL | `$MLOPS_HOME/bundles` |
| MLOPS_ONLINE_STORE | `redis://…` for the online features | SQLite under `$MLOPS_HOME/feast` |
| MLOPS_FEATURE_REGISTRY | SQL URL of Feast's registry | SQLite under `$MLOPS_HOME/feast` |
| MLFLOW_TRACKING_URI | MLflow server or database | SQLite under `$MLOPS_HOME/mlflow` |
| MLOPS_ARTIFACTS | root of MLflow's artefacts | `$MLOPS_HOME/mlflow/artifacts`; none where a server is named |
| MLOPS_MLFLOW_URL, MLOPS_DAGSTER_URL | addresses of the two UIs, for links | port 5000 and 3000 of this machine |
| MLOPS_SQL_<NAME> | URL of the database that a feed calls `connection: <name>` | none |
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_assets.resources.bundles import Bundles
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features import FeatureStore
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.ledger import Ledger
from mlops_assets.resources.records import RecordIO
from mlops_assets.resources.registry import Registry
from mlops_assets.resources.sources import Sources
from mlops_assets.resources.workspace import Workspace

PROJECT = Path(__file__).parents[2]
_SQL = "MLOPS_SQL_"


def resources(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Every resource by the name under which stages ask for it."""
    home = Path(environment.get("MLOPS_HOME") or PROJECT / ".mlops").absolute()
    lake = environment.get("MLOPS_LAKE", str(home / "lake"))
    records = RecordIO(root=lake)
    return {
        "lake": Lake(root=lake),
        "sources": Sources(databases=_databases(environment)),
        "clock": Clock(folder=str(home / "clock")),
        "workspace": Workspace(folder=str(home / "work")),
        "bundles": Bundles(
            root=environment.get("MLOPS_BUNDLES", str(home / "bundles")), cache=str(home / "work" / "bundles")
        ),
        "features": FeatureStore(
            repo=str(PROJECT / "feature_repo"),
            home=str(home / "feast"),
            lake=lake,
            online_store=environment.get("MLOPS_ONLINE_STORE", f"sqlite:///{home}/feast/online.db"),
            registry=environment.get("MLOPS_FEATURE_REGISTRY", f"sqlite:///{home}/feast/registry.db"),
        ),
        "registry": _registry(environment, home),
        "ledger": Ledger(folder=str(home / "ledger")),
        "records": records,
        "io_manager": records,
    }


def _registry(environment: Mapping[str, str], home: Path) -> Registry:
    local = f"sqlite:///{home}/mlflow/mlflow.db"
    uri = environment.get("MLFLOW_TRACKING_URI", local)
    return Registry(
        tracking_uri=uri,
        artifact_root=environment.get("MLOPS_ARTIFACTS", str(home / "mlflow" / "artifacts") if uri == local else ""),
        lock_folder=str(home / "work" / "locks"),
        ui_url=environment.get("MLOPS_MLFLOW_URL", "http://localhost:5000"),
        dagster_url=environment.get("MLOPS_DAGSTER_URL", "http://localhost:3000"),
    )


def _databases(environment: Mapping[str, str]) -> dict[str, str]:
    """Name of a connection, in lower case, → URL."""
    return {name.removeprefix(_SQL).lower(): url for name, url in environment.items() if name.startswith(_SQL)}
