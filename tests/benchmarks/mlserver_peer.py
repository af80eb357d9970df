"""A custom runtime for MLServer, for comparison: importable, since the server names it by its path."""

# These servers are installed in environments of their own.
# pyright: reportMissingImports=false

import os
from typing import Any

import mlserver
import numpy as np
from serving_peers import session


class Runtime(mlserver.MLModel):
    async def load(self) -> bool:
        self._session = session(os.environ["BENCH_MODEL"])
        return True

    async def predict(self, payload: Any) -> Any:
        tensor = payload.inputs[0]
        numbers = np.array(tensor.data.root, dtype=np.float64).reshape(tensor.shape)
        scores = self._session.run(None, {"numbers": numbers})[0]
        output = mlserver.types.ResponseOutput(
            name="probability", shape=list(scores.shape), datatype="FP32", data=scores.tolist()
        )
        return mlserver.types.InferenceResponse(model_name=self.name, outputs=[output])
