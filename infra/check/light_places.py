"""A contract for import-linter: what loads with the code location reaches no heavy package.

The graph of import-linter does not tell an import at the top of a module from one inside a function. Only the first
loads with the module, so this contract reads the sources itself.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class LightPlaces(Contract):
    """`modules`, and what they import at their top, at any distance, import none of the `heavy` packages there."""

    type_name = "light_places"

    modules = fields.SetField(subfield=fields.StringField())  # with what is below them; `**`: any folders between
    heavy = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        places = {found for name in self.modules for found in _modules_of(graph, name)}  # type: ignore[attr-defined]
        problems = sorted(heavy_chains(sorted(places), set(self.heavy), Path.cwd()))  # type: ignore[call-overload]
        return ContractCheck(kept=not problems, metadata={"problems": problems})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for problem in check.metadata["problems"]:
            output.print_error(f"- {problem}")


def heavy_chains(places: Iterable[str], heavy: Iterable[str], root: Path) -> Iterator[str]:
    """For each heavy import that is reached: one shortest chain of imports from a light place to it."""
    forbidden, queue = set(heavy), list(places)
    chains = {place: place for place in queue}
    for module in queue:
        for line, name in top_level_imports(module, root):
            if name.partition(".")[0] in forbidden:
                yield f"{chains[module]} → {name} (line {line}): import it inside the function that uses it"
            elif name not in chains and _source(name, root):
                chains[name] = f"{chains[module]} → {name}"
                queue.append(name)


def top_level_imports(module: str, root: Path) -> Iterator[tuple[int, str]]:
    """Line and module of every import that runs when the module is loaded."""
    path = _source(module, root)
    if path is None:
        raise FileNotFoundError(f"{module} has no source below {root}: correct the contract in pyproject.toml")
    for node in _loaded(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = _absolute(node, module, path)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names if _source(f"{base}.{alias.name}", root))]
        yield from ((node.lineno, loaded) for name in names for loaded in _with_parents(name))


def _loaded(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _loaded(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "handlers", "orelse", "finalbody", "cases"):
                yield from _loaded(getattr(node, part, ()))


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parents = parts[: len(parts) - node.level + (path.name == "__init__.py")]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _with_parents(name: str) -> Iterator[str]:
    """`a.b.c` loads `a` and `a.b` too."""
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


@cache
def _source(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _modules_of(graph: ImportGraph, name: str) -> Iterator[str]:
    for module in graph.find_matching_modules(name):
        yield module
        yield from graph.find_descendants(module)
