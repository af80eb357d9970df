"""Another text of one's own network is another training."""

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.training.store import Trained
from mlops_assets.training.train import train
from tests.training.synthetic import DECLARED, NETWORK, tables, training_set

FILES = {
    "own/__init__.py": "",
    "own/net.py": """
from torch import nn
from mlops_assets.training.layout import Layout
from own.base import Base
from shared_parts import TIMES
from . import parts

class Net(Base):
    def forward(self, numbers, codes):
        return self.leave(parts.activate(numbers)) * TIMES
""",
    "own/base.py": """
from torch import nn

class Base(nn.Module):
    def __init__(self, layout):
        super().__init__()
        self.leave = nn.Linear(layout.features, layout.outputs)
""",
    "own/parts.py": "def activate(numbers):\n    return numbers.tanh()\n",
    "shared_parts.py": "TIMES = 2.0\n",
    "own/unrelated.py": "ROWS = 1\n",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    (folder / "own").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits in a second are two texts
    return folder


def train_afresh(root: Path) -> Trained:
    """As another process does it, which has loaded none of the modules."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("own", "shared_parts")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    declared = dataclasses.replace(DECLARED, network=NETWORK.with_changes(type="own.net.Net"))
    kind = Kind.BINARY
    return train(training_set(kind), tables(kind), declared, metric=METRICS["auc"], root=root)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("own/net.py", "* TIMES", "* TIMES * 3"),
        ("own/base.py", "layout.outputs)", "layout.outputs, bias=False)"),
        ("own/parts.py", "numbers.tanh()", "numbers.sin()"),
        ("shared_parts.py", "2.0", "5.0"),
    ],
)
def test_an_edited_network_is_trained_anew(own: Path, tmp_path: Path, file: str, before: str, after: str) -> None:
    first, again = train_afresh(tmp_path), train_afresh(tmp_path)
    (own / file).write_text(FILES[file].replace(before, after))
    edited = train_afresh(tmp_path)

    assert again == first
    assert edited.folder.name != first.folder.name
    assert edited.digest != first.digest


def test_other_files_of_the_team_start_no_training(own: Path, tmp_path: Path) -> None:
    first = train_afresh(tmp_path)
    (own / "own/unrelated.py").write_text("ROWS = 2\n")

    assert train_afresh(tmp_path) == first
