"""A plain BentoML service, for comparison: the body as JSON, one row after the other."""

import os

import bentoml
import numpy as np
from serving_peers import FIELDS, session


@bentoml.service(name="peer", logging={"access": {"enabled": False}}, traffic={"timeout": 10})
class Peer:
    def __init__(self) -> None:
        self._model = session(os.environ["BENCH_MODEL"])

    @bentoml.api(route="/predict")
    async def predict(self, rows: list[dict[str, float]]) -> dict[str, list[float]]:
        numbers = np.array([[row[name] for name in FIELDS] for row in rows], dtype=np.float64)
        return {"predictions": self._model.run(None, {"numbers": numbers})[0].tolist()}
