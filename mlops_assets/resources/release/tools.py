"""All that a release needs, under one name: the asset and the jobs of a person ask for it alike."""

import dagster as dg

from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.release.bento import Bentos
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.resources.traffic.endpoint_log import Traffic


class ReleaseTools(dg.ConfigurableResource["ReleaseTools"]):
    """The same resources that stand beside it."""

    bentos: dg.ResourceDependency[Bentos]
    bundles: dg.ResourceDependency[Bundles]
    traffic: dg.ResourceDependency[Traffic]
    deployment: dg.ResourceDependency[Deployment]
    workspace: dg.ResourceDependency[Workspace]
    clock: dg.ResourceDependency[Clock]
