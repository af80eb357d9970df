"""Checks every declaration by its JSON schema: `python -m infra.check.declarations [FOLDER]`.

`dg check yaml` of Dagster does the same and looks at one declaration only, the last one that it finds of a component
type; with two models, a mistake in the first passes it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from dagster_dg_core.utils.check_utils import error_dict_to_formatted_error
from dagster_shared.serdes.objects import EnvRegistryKey
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from jsonschema import Draft202012Validator

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.yaml_schema import yaml_schema

COMPONENT = "mlops_assets.ModelLifecycle"
DEFINITIONS = Path(__file__).parents[2] / "mlops_assets" / "defs"


def list_mistakes(folder: Path) -> Iterator[str]:
    """Each wrong field of each declaration below the folder, with its file, its line and what would be right."""
    validator, key = Draft202012Validator(yaml_schema(ModelSpec)), EnvRegistryKey.from_typename(COMPONENT)
    for path in sorted(folder.rglob("defs.y*ml")):
        for document in parse_yamls_with_source_position(path.read_text(), filename=str(path)):
            if document.value.get("type") == COMPONENT:
                for error in validator.iter_errors(document.value.get("attributes", {})):
                    yield error_dict_to_formatted_error(key, error, document.source_position_tree, ["attributes"])


def main() -> int:
    mistakes = list(list_mistakes(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFINITIONS))
    click.echo("\n".join(mistakes) or "Every declaration fits its schema.")  # colours only where a person reads
    return bool(mistakes)


if __name__ == "__main__":
    sys.exit(main())
