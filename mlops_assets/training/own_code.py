"""The code of one's own network: other code is another training, as it is for the code of this package.

Read are the files of the class, of its base classes, and of what they import, as far as a team may edit them: neither
installed packages, except the class's own, nor this package, whose digest is taken anyway.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from torch import nn

from mlops_assets.declaration.training import NetworkSpec
from mlops_assets.training.network import TABULAR, find_class
from mlops_assets.training.store import digest_bytes

_HERE = __name__.rpartition(".")[0]
_INSTALLED = {"site-packages", "dist-packages"}  # the folders that pip writes to


def digest_own_code(spec: NetworkSpec) -> str:
    """Empty for the network of this package."""
    return "" if spec.type == TABULAR else _digest(find_class(spec.type))


@cache
def _digest(kind: type[nn.Module]) -> str:
    """Of the files when the class is first needed: an edit after that is not what this process trains."""
    waiting = [sys.modules[each.__module__] for each in kind.__mro__]
    package, found = _top(kind.__module__), {}
    while waiting:
        module = waiting.pop()
        file = _own_file(module, package)
        if file is not None and module.__name__ not in found:
            found[module.__name__] = file.read_bytes()
            waiting += _imported(module, found[module.__name__]) if file.suffix == ".py" else []
    return digest_bytes(*(part for name in sorted(found) for part in (name.encode(), found[name])))


def _own_file(module: ModuleType, package: str) -> Path | None:
    """None where no team edits it."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if file is None or _top(name) in sys.stdlib_module_names or name == _HERE or name.startswith(f"{_HERE}."):
        return None
    return Path(file) if _top(name) == package or not _INSTALLED & {*Path(file).parts} else None


def _imported(module: ModuleType, source: bytes) -> Iterator[ModuleType]:
    """The modules that a module names in its imports and that are loaded."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (module.__package__ or not node.level):
            origin = resolve_name("." * node.level + (node.module or ""), module.__package__)
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        yield from (sys.modules[name] for name in names if name in sys.modules)


def _top(name: str) -> str:
    return name.partition(".")[0]
