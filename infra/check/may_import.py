"""A contract for import-linter: a package may import what its row of the layers' table names, no more.

The contracts that come with import-linter forbid what they list. A list of what is allowed also catches the
library nobody thought of.
"""

import sys
from collections.abc import Iterable, Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class MayImport(Contract):
    """`modules` import themselves, the standard library, `may_import`; a file one of `one_of_each_file`."""

    type_name = "may_import"

    modules = fields.SetField(subfield=fields.StringField())
    may_import = fields.SetField(subfield=fields.StringField())
    one_of_each_file = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        problems = sorted(self._problems(graph))
        return ContractCheck(kept=not problems, metadata={"problems": problems})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for problem in check.metadata["problems"]:
            output.print_error(f"- {problem}")

    def _problems(self, graph: ImportGraph) -> Iterator[str]:
        vendors = set(self.one_of_each_file or ())  # type: ignore[call-overload]
        packages: set[str] = set(self.modules)  # type: ignore[call-overload]
        allowed = packages | set(self.may_import)  # type: ignore[call-overload]
        for module in graph.modules:
            if not _is_within(module, packages):
                continue
            imported = graph.find_modules_directly_imported_by(module)
            used = {vendor for vendor in vendors if any(_is_within(name, [vendor]) for name in imported)}
            if len(used) > 1:
                yield f"{module} uses {', '.join(sorted(used))}: one vendor a file"
            for name in imported:
                if not _is_within(name, allowed | vendors) and name not in sys.stdlib_module_names:
                    lines = [d["line_number"] for d in graph.get_import_details(importer=module, imported=name)]
                    yield f"{module} must not import {name} (line {', '.join(map(str, sorted(set(lines))))})"


def _is_within(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
