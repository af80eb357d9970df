"""What loads with a light place: each way of importing, and the chain that the message names."""

from pathlib import Path

import grimp
import pytest

from infra.check.light_places import LightPlaces, heavy_chains


def house(root: Path, **sources: str) -> Path:
    """A package `house` with these modules; a dot in a name is written `__`."""
    for name, source in {"house": "", **sources}.items():
        folder = root.joinpath(*name.split("__")) if name == "house" else root / "house" / Path(*name.split("__"))
        path = folder / "__init__.py" if name == "house" else folder.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import torch", True),
        ("from torch.nn import Module", True),
        ("import torch.nn as nn", True),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", True),
        ("class Light:\n    import torch", True),
        ("import torchlight", False),
        ("def work():\n    import torch", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import torch", True),
    ],
)
def test_an_import_counts_where_it_loads_with_the_module(tmp_path, source, reached):
    root = house(tmp_path, light=source)
    assert bool(list(heavy_chains(["house.light"], ["torch"], root))) is reached


@pytest.mark.parametrize(
    "source",
    ["import house.middle", "from house import middle", "from house.middle import thing", "from . import middle",
     "from .middle import thing"],
)  # fmt: skip
def test_the_message_names_the_chain(tmp_path, source):
    root = house(tmp_path, light=source, middle="import house.heavy\nthing = 1", heavy="\nimport torch")
    (problem,) = heavy_chains(["house.light"], ["torch"], root)
    chain, _, remedy = problem.partition(": ")
    assert chain == "house.light → house.middle → house.heavy → torch (line 2)"
    assert "inside the function" in remedy


def test_a_package_loads_its_parents(tmp_path):
    root = house(tmp_path, light="import house.room.leaf", room__leaf="", room__other="import torch")
    (root / "house" / "room" / "__init__.py").write_text("from house.room import other")
    assert [p.partition(" (")[0] for p in heavy_chains(["house.light"], ["torch"], root)] == [
        "house.light → house.room → house.room.other → torch"
    ]


@pytest.mark.parametrize(("name", "kept"), [("house.rooms.**.asset", False), ("house.rooms.one.asset", True)])
def test_the_contract_finds_its_places_by_pattern(tmp_path, monkeypatch, name, kept):
    monkeypatch.chdir(house(tmp_path, rooms__one__asset="", rooms__two__asset="import torch"))
    graph = grimp.ImportGraph()
    for module in ("house.rooms.one.asset", "house.rooms.two.asset"):
        graph.add_module(module)
    options = {"modules": [name], "heavy": ["torch"]}
    check = LightPlaces(name="light", session_options={}, contract_options=options).check(graph, verbose=False)
    assert check.kept is kept
