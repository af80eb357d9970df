"""The live endpoint, under `MLOPS_ENDPOINT_URL`: whether it serves a generation. `client.py` talks to it."""

from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class Live:
    """Whether a generation answers requests."""

    generation: int | None  # that is served; None: it cannot be told
    reason: str  # why it is not the one that was waited for; empty: it is
    up: bool = True  # an endpoint answers


class Endpoint(dg.ConfigurableResource["Endpoint"]):
    """Where live traffic goes to."""

    url: str  # empty: this deployment has none
    token: str
    patience: float  # seconds in which a generation must be live

    def wait_live(self, model: str, generation: int) -> Live:
        """Until every worker serves the generation, or says why it cannot. No endpoint: nothing to wait for."""
        if not self.url:
            return Live(None, "no endpoint is declared", up=False)
        from mlops_assets.resources.release.client import Client

        with Client(self.url, self.token) as client:
            return client.wait_live(model, generation, self.patience)
