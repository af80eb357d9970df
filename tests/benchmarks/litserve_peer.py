"""A LitServe API, for comparison: importable, since its worker is another process."""

# These servers are installed in environments of their own.
# pyright: reportMissingImports=false

import os
from typing import Any

import litserve
import numpy as np
from serving_peers import session


class Api(litserve.LitAPI):
    def setup(self, device: Any) -> None:
        self._session = session(os.environ["BENCH_MODEL"])

    def decode_request(self, request):  # an annotation would be taken for FastAPI's
        return np.array(request["instances"], dtype=np.float64)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"numbers": x})[0]

    def encode_response(self, output: np.ndarray) -> Any:
        return {"predictions": output.tolist()}
