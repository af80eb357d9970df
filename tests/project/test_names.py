"""The size of rooms and the words of names: what keeps a folder readable and a word to one meaning."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PRODUCT = ("mlops_assets", "feature_repo", "serving")
MOST_MODULES = 14
LARGER_ROOMS = {"mlops_assets/training": "one thought a file, read in the order of a training"}
VAGUE = {"told", "asked", "given", "said", "stands", "seen"}  # none of them says what a function does


def modules(project: Path) -> Iterator[Path]:
    for root in PRODUCT:
        yield from (path for path in (project / root).rglob("*.py") if path.name != "__init__.py")


def definitions(project: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Every function and class of the product, with its file."""
    for path in modules(project):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield str(path.relative_to(project)), node


def test_a_room_holds_at_most_14_modules(project: Path) -> None:
    sizes = Counter(str(path.parent.relative_to(project)) for path in modules(project))

    assert {room: size for room, size in sizes.items() if size > MOST_MODULES and room not in LARGER_ROOMS} == {}
    assert sorted(room for room in LARGER_ROOMS if sizes[room] <= MOST_MODULES) == []


def test_a_class_name_exists_once(project: Path) -> None:
    found = [(node.name, file) for file, node in definitions(project) if isinstance(node, ast.ClassDef)]
    count = Counter(name for name, _ in found)

    assert sorted((name, file) for name, file in found if count[name] > 1) == []


def test_a_functions_name_says_what_it_does(project: Path) -> None:
    functions = [
        (node.name, file)
        for file, node in definitions(project)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert sorted((name, file) for name, file in functions if name.strip("_") in VAGUE) == []
