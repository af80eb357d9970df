"""Virtual environments for the servers in peers.txt, outside the project: `python peer_environments.py [name …]`.

They lie under $MLOPS_BENCH_ENVS, by default ~/.cache/mlops-assets/bench. About a minute and 400 MB each; remove the
folder when done.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

LISTED = Path(__file__).with_name("peers.txt")


def root() -> Path:
    return Path(os.environ.get("MLOPS_BENCH_ENVS") or Path.home() / ".cache" / "mlops-assets" / "bench")


def listed() -> dict[str, list[str]]:
    """Packages of each peer."""
    lines = (line.partition("#")[0].strip() for line in LISTED.read_text(encoding="utf-8").splitlines())
    pairs = (line.split(":", 1) for line in lines if line)
    return {name.strip(): packages.split() for name, packages in pairs}


def python_of(name: str) -> Path:
    return root() / name / "bin" / "python"


def make(name: str, packages: list[str]) -> None:
    venv.create(root() / name, with_pip=True)
    subprocess.run([python_of(name), "-m", "pip", "install", "--quiet", *packages], check=True)


def main(names: list[str]) -> None:
    for name, packages in listed().items():
        if (not names or name in names) and not python_of(name).exists():
            print(f"{name}: {' '.join(packages)} → {root() / name}", flush=True)
            make(name, packages)


if __name__ == "__main__":
    main(sys.argv[1:])
