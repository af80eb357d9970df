"""All that a release needs, under one name: the asset and the jobs of a person ask for it alike."""

import dagster as dg

from mlops_assets.resources.bento import Bentos
from mlops_assets.resources.bundles import Bundles
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.deployment import Deployment
from mlops_assets.resources.traffic import Traffic
from mlops_assets.resources.workspace import Workspace


class ReleaseTools(dg.ConfigurableResource["ReleaseTools"]):
    """The same resources that stand beside it."""

    bentos: dg.ResourceDependency[Bentos]
    bundles: dg.ResourceDependency[Bundles]
    traffic: dg.ResourceDependency[Traffic]
    deployment: dg.ResourceDependency[Deployment]
    workspace: dg.ResourceDependency[Workspace]
    clock: dg.ResourceDependency[Clock]
