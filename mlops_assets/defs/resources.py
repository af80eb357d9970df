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
| MLOPS_ALERTS | where alerts go: Apprise URLs (`json://`, `slack://` …), separated by spaces | nobody |
| MLOPS_PROMETHEUS_URL | Prometheus, whose firing alerts are told too | none |
| MLOPS_ENDPOINT_URL | the live endpoint; empty: there is none | port 3001 of this machine |
| MLOPS_ENDPOINT_TOKEN | bearer token for it | none |
| MLOPS_RELEASES | folder of the release files that the endpoint watches | `$MLOPS_HOME/releases` |
| MLOPS_BENTOS | store of Bentos | `$MLOPS_HOME/bentos` |
| MLOPS_SQL_<NAME> | URL of the database that a feed calls `connection: <name>` | none |
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import EnvVar

from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.alerts.prometheus import Prometheus
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.records import RecordIO
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.bento import Bentos
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.resources.release.endpoint import Endpoint
from mlops_assets.resources.release.tools import ReleaseTools
from mlops_assets.resources.sources.sources import Sources
from mlops_assets.resources.traffic.endpoint_log import Traffic

PROJECT = Path(__file__).parents[2]
_SQL = "MLOPS_SQL_"
_PATIENCE = 60.0  # seconds until a released generation has to be live
_ALERTS = "MLOPS_ALERTS"
_TOKEN = "MLOPS_ENDPOINT_TOKEN"


def resources(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Every resource by the name under which stages ask for it."""
    home = Path(environment.get("MLOPS_HOME") or PROJECT / ".mlops").absolute()
    lake = environment.get("MLOPS_LAKE", str(home / "lake"))
    records = RecordIO(root=lake)
    registry, ledger = _registry(environment, home), Ledger(folder=str(home / "ledger"))
    endpoint = Endpoint(
        url=environment.get("MLOPS_ENDPOINT_URL", "http://localhost:3001"),
        token=_secret(environment, _TOKEN),
        patience=_PATIENCE,
    )
    deployment = Deployment(
        folder=environment.get("MLOPS_RELEASES", str(home / "releases")),
        ledger=ledger,
        registry=registry,
        endpoint=endpoint,
    )
    release = {
        "bentos": Bentos(home=environment.get("MLOPS_BENTOS", str(home / "bentos")), project=str(PROJECT)),
        "bundles": Bundles(
            root=environment.get("MLOPS_BUNDLES", str(home / "bundles")), cache=str(home / "work" / "bundles")
        ),
        "traffic": Traffic(home=str(home)),
        "deployment": deployment,
        "workspace": Workspace(folder=str(home / "work")),
        "clock": Clock(folder=str(home / "clock")),
    }
    return {
        **release,
        "release_tools": ReleaseTools(**release),
        "lake": Lake(root=lake),
        "sources": Sources(databases=_databases(environment)),
        "features": FeatureStore(
            repo=str(PROJECT / "feature_repo"),
            home=str(home / "feast"),
            lake=lake,
            online_store=environment.get("MLOPS_ONLINE_STORE", f"sqlite:///{home}/feast/online.db"),
            registry=environment.get("MLOPS_FEATURE_REGISTRY", f"sqlite:///{home}/feast/registry.db"),
        ),
        "registry": registry,
        "ledger": ledger,
        "endpoint": endpoint,
        "alerts": _alerts(environment, home),
        "prometheus": Prometheus(url=environment.get("MLOPS_PROMETHEUS_URL", "")),
        "monitoring": Monitoring(root=lake),
        "records": records,
        "io_manager": records,
    }


def _registry(environment: Mapping[str, str], home: Path) -> Registry:
    local = f"sqlite:///{home}/mlflow/mlflow.db"
    uri = environment.get("MLFLOW_TRACKING_URI", local)
    return Registry(
        tracking_uri=uri,
        artifact_root=environment.get("MLOPS_ARTIFACTS", "" if uri.startswith("http") else f"{home}/mlflow/artifacts"),
        lock_folder=str(home / "work" / "locks"),
        ui_url=environment.get("MLOPS_MLFLOW_URL", "http://localhost:5000"),
        dagster_url=_dagster_url(environment),
    )


def _alerts(environment: Mapping[str, str], home: Path) -> Alerts:
    return Alerts(
        folder=str(home / "alerts"),
        destinations=_secret(environment, _ALERTS),
        dagster_url=_dagster_url(environment),
    )


def _secret(environment: Mapping[str, str], name: str) -> Any:
    """As an EnvVar where it can be one: the UI shows its name instead of its value."""
    return EnvVar(name) if environment is os.environ and name in environment else environment.get(name, "")


def _dagster_url(environment: Mapping[str, str]) -> str:
    return environment.get("MLOPS_DAGSTER_URL", "http://localhost:3000")


def _databases(environment: Mapping[str, str]) -> dict[str, str]:
    """Name of a connection, in lower case, → URL."""
    return {name.removeprefix(_SQL).lower(): url for name, url in environment.items() if name.startswith(_SQL)}
