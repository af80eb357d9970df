"""The README's map against the folders: every room is on the map, and every room on the map exists."""

import re
from pathlib import Path

import pytest

LAYERS = ("domain", "resources", "stages")
ROOTS = ("mlops_assets", "feature_repo", "serving", "infra", "tests")
MAPPED_INSIDE = (*ROOTS, *(f"mlops_assets/{layer}" for layer in LAYERS))


@pytest.fixture(scope="module")
def map_text(project: Path) -> str:
    return (project / "README.md").read_text().partition("\n## Map\n")[2].partition("\n## ")[0]


def rooms(project: Path) -> set[str]:
    """Every folder that a reader has to know. A folder of tests that mirrors a room of the product is none."""
    inside = {str(path.relative_to(project)) for root in MAPPED_INSIDE for path in folders(project / root)}
    mirrors = {f"tests/{path.name}" for path in (*folders(project / "mlops_assets"), *folders(project))}
    return (inside | set(ROOTS[1:])) - mirrors


def folders(parent: Path) -> list[Path]:
    """Subfolders with files in them, without what tools leave behind."""
    return [path for path in parent.iterdir() if path.name[0] not in "._" and path.is_dir() and holds_files(path)]


def holds_files(folder: Path) -> bool:
    return any(path.is_file() and "__pycache__" not in path.parts for path in folder.rglob("*"))


def test_the_map_shows_every_room_and_no_other(project: Path, map_text: str) -> None:
    shown = re.findall(r"\]\(([^)]+)\)", map_text)

    assert sorted(rooms(project) - set(shown)) == []
    assert sorted(set(shown) - rooms(project)) == []
    assert sorted(room for room in set(shown) if shown.count(room) > 1) == []


def test_a_subject_leads_to_its_rooms_in_all_layers(project: Path, map_text: str) -> None:
    rows = re.findall(r"^\| (\w+) \|.*\| (\[domain\].*) \|$", map_text, re.MULTILINE)
    leads_to = {subject: re.findall(r"\[(\w+)\]\((\S+)\)", links) for subject, links in rows}
    expected = {
        subject: [(layer, f"mlops_assets/{layer}/{subject}") for layer in LAYERS if has_room(project, layer, subject)]
        for subject in leads_to
    }

    assert len(leads_to) == 11
    assert leads_to == expected


def test_a_walk_through_the_code_never_goes_back(project: Path) -> None:
    walks = (project / "infra" / "docs" / "architecture.md").read_text().split("\n## ")[1:]
    files = {walk.splitlines()[0]: re.findall(r"^\d+\. `([^`]+)`", walk, re.MULTILINE) for walk in walks}

    assert len(files) == 4
    assert [(walk, name) for walk, names in files.items() for name in names if not (project / name).is_file()] == []
    assert [(walk, name) for walk, names in files.items() for name in names if names.count(name) > 1] == []


def has_room(project: Path, layer: str, subject: str) -> bool:
    return (project / "mlops_assets" / layer / subject) in folders(project / "mlops_assets" / layer)
