"""Which device and arithmetic a training run uses. What was asked for is what runs, or an error says why
not.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def device_of(asked: str) -> torch.device:
    """`auto` takes a GPU where there is one."""
    if asked not in ("auto", "cpu", "cuda"):
        raise ValueError(f"training.device is {asked!r}; it has to be auto, cpu or cuda")
    present = torch.cuda.is_available()
    if asked == "cuda" and not present:
        raise RuntimeError(
            "training.device is cuda, but torch finds no usable CUDA device."
            " Set training.device to auto or cpu, or run this where there is a GPU."
        )
    return torch.device("cuda" if present and asked != "cpu" else "cpu")


def autocast_type(asked: str, device: torch.device) -> torch.dtype | None:
    """None: plain float32. `auto` is bf16 on a GPU."""
    if asked not in ("auto", "fp32", "bf16"):
        raise ValueError(f"training.precision is {asked!r}; it has to be auto, fp32 or bf16")
    return torch.bfloat16 if asked == "bf16" or (asked == "auto" and device.type == "cuda") else None


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on one thread; torch's generator and settings are left as they were found.

    One thread: sums do not depend on the number of cores, so neither do the weights; and a network of this
    size gains little from more, while threads that wait for each other on shared cores are far slower.
    """
    if device.type == "cuda":  # cuBLAS is deterministic only with a fixed workspace, which it reads once
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)
