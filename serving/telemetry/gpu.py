"""How busy the GPU is, where there is one and NVIDIA's library can tell."""

from collections.abc import Mapping
from functools import cache
from typing import Any


def read_gpu_usage() -> Mapping[str, float]:
    """Use and memory of the first visible GPU; empty where there is none."""
    library, handle = _device()
    if library is None:
        return {}
    try:
        memory = library.nvmlDeviceGetMemoryInfo(handle)
        return {
            "gpu_utilisation": library.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            "gpu_memory_bytes": float(memory.used),
            "gpu_memory_total_bytes": float(memory.total),
        }
    except library.NVMLError:
        return {}


@cache
def _device() -> tuple[Any, Any]:
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError:
        return None, None
