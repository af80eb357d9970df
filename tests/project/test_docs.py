"""The pages: links lead somewhere, commands exist, examples are valid, and every file that a page names is there."""

import importlib.util
import itertools
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from mlops_assets.lifecycle import ModelLifecycle, lifecycle_of
from tests.conftest import PROJECT
from tests.kit.declared import declaration, specified
from tests.project.pages import Page, pages

PAGES = pages()
CODE = ("mlops_assets", "feature_repo", "serving", "infra", "tests")
PROGRAMS = {
    "apt-get", "bentoml", "curl", "dagster", "dg", "feast", "grafana", "make", "pip", "prometheus", "promtool",
    "pytest", "python", "redis-cli",
}  # fmt: skip
WRITTEN_BY_THE_READER = {"mlops_assets/defs/churn/defs.yaml"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_links_lead_somewhere(page: Page) -> None:
    local = [link for link in page.links if not link.startswith(("http://", "https://"))]

    assert [link for link in local if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Page, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = (page.path.parent / file).resolve() if file else page.path
    return target.exists() and (not anchor or anchor in Page(target).anchors)


def test_the_readme_leads_to_every_page(project: Path) -> None:
    reached = {str((project / link).resolve()) for link in PAGES[0].links}

    assert [page.name for page in PAGES if "docs" in page.path.parts and str(page.path) not in reached] == []


def test_every_picture_is_on_a_page(project: Path) -> None:
    shown = {(page.path.parent / link).resolve() for page in PAGES for link in page.links if link.endswith(".png")}

    assert sorted(set((project / "infra" / "pictures").iterdir()) - shown) == []


@every_page
def test_named_files_exist(page: Page) -> None:
    absent = [name for name in map(without_place, page.inline_code) if is_file(name) and not exists(name)]

    assert absent == []


def without_place(code: str) -> str:
    return code.partition("#")[0].partition(":")[0]


def is_file(name: str) -> bool:
    return bool(re.fullmatch(r"[\w./*-]+", name)) and name.split("/")[0] in CODE and "/" in name


def exists(name: str) -> bool:
    return name in WRITTEN_BY_THE_READER or any(PROJECT.glob(name.rstrip("/")))


@every_page
def test_named_modules_exist(page: Page) -> None:
    modules = [code for code in page.inline_code if re.fullmatch(rf"({'|'.join(CODE)})(\.\w+)+", code)]

    assert [name for name in modules if not is_importable(name) and name not in declared_fields(page)] == []


def is_importable(name: str) -> bool:
    """True for a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return False
    if spec.submodule_search_locations and importlib.util.find_spec(name):
        return True
    return bool(re.search(rf"\b{attribute}\b", Path(spec.origin).read_text()))


@every_page
def test_commands_start_a_known_program(page: Page) -> None:
    assert [words for words in page.commands if words[0] not in PROGRAMS] == []


@every_page
def test_commands_name_what_exists(page: Page) -> None:
    commands = page.commands + [words for words in page.inline_commands if words[0] in PROGRAMS]

    assert {" ".join(words): problems for words in commands if (problems := command_problems(words))} == {}


def command_problems(words: list[str]) -> list[str]:
    checks = {
        "make": make_problems,
        "python": python_problems,
        "dagster": dagster_problems,
        "bentoml": bentoml_problems,
    }
    absent = [word for word in words[1:] if is_file(value := word.rpartition("=")[2]) and not exists(value)]
    return absent + (checks[words[0]](words[1:]) if words[0] in checks else [])


def make_problems(words: list[str]) -> list[str]:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    settings = set(re.findall(r"^(?:export )?([A-Z_]+) \?=", makefile, re.MULTILINE))
    return [word for word in words if word.partition("=")[0] not in targets | settings]


def python_problems(words: list[str]) -> list[str]:
    return [words[1]] if words[0] == "-m" and importlib.util.find_spec(words[1]) is None else []


def dagster_problems(words: list[str]) -> list[str]:
    """Options whose value names no module, job or asset, and a selection that Dagster would refuse to materialise."""
    options = dict(itertools.pairwise(words))
    modules = [options[key] for key in ("-m",) if key in options and importlib.util.find_spec(options[key]) is None]
    jobs = [options[key] for key in ("-j",) if key in options and options[key] not in automation_names()]
    selection = options.get("--select", "")
    keys = [key for key in re.findall(r'key:"([^"]+)"', selection) if key not in asset_names()]
    return modules + jobs + (keys or selection_problems(selection, partitioned="--partition" in " ".join(words)))


def selection_problems(selection: str, *, partitioned: bool) -> list[str]:
    """One run materialises either partitions of one kind or assets without partitions."""
    if not selection:
        return []
    assets = [asset for each in models() for asset in each.assets or ()]
    chosen = dg.AssetSelection.from_string(selection).resolve([a for a in assets if isinstance(a, dg.AssetsDefinition)])
    kinds = {str(a.partitions_def) for a in assets if isinstance(a, dg.AssetsDefinition) and a.keys & chosen}
    return [] if len(kinds) == 1 and ("None" in kinds) is not partitioned else [f"{selection}: {sorted(kinds)}"]


def bentoml_problems(words: list[str]) -> list[str]:
    target = words[1] if words[0] == "serve" else ""
    return [target] if "." in target.partition(":")[0] and not is_importable(target.replace(":", ".")) else []


@cache
def models() -> tuple[Any, ...]:
    """The definitions of the example, and of the model that the README declares."""
    example = declaration(PROJECT / "mlops_assets" / "defs" / "flight_delay" / "defs.yaml")
    readme = next(fence.text for fence in PAGES[0].fences if fence.language == "yaml")
    return tuple(lifecycle_of(spec) for spec in (example, specified(yaml.safe_load(readme)["attributes"])))


@cache
def asset_names() -> set[str]:
    return {key.to_user_string() for each in models() for asset in each.assets or () for key in asset.keys}


@cache
def automation_names() -> set[str]:
    parts = [part for each in models() for part in (*(each.jobs or ()), *(each.sensors or ()), *(each.schedules or ()))]
    return {part.name for part in parts if part.name}


@every_page
def test_named_jobs_and_sensors_exist(page: Page) -> None:
    named = {match for code in page.inline_code for match in re.findall(r"^<model>(_\w+)$", code)}
    known = {name.removeprefix(model) for name in automation_names() for model in ("flight_delay", "churn")}

    assert sorted(named - known) == []


@every_page
def test_declared_models_are_valid(page: Page) -> None:
    for fence in page.fences:
        document = yaml.safe_load(fence.text) if fence.language == "yaml" else {}
        if document.get("type", "").endswith(ModelLifecycle.__name__):
            assert specified(document["attributes"]).model == document["attributes"]["name"]


@every_page
def test_named_fields_are_declared(page: Page) -> None:
    parts = field_schema()["properties"]
    dotted = [code.partition(":")[0] for code in page.inline_code if re.fullmatch(r"[a-z_]+\.[a-z_.]+(: .*)?", code)]
    fields = {name for name in dotted if name.split(".")[0] in parts}

    assert sorted(name for name in fields - declared_fields(page) if not is_importable(name)) == []


def declared_fields(page: Page) -> set[str]:
    """The inline code of a page that is a field of a declaration."""
    schema = field_schema()
    names = {code.partition(":")[0] for code in page.inline_code}
    return {name for name in names if is_field(schema, schema, name.split("."))}


@cache
def field_schema() -> dict[str, Any]:
    model = ModelLifecycle.get_model_cls()
    assert model is not None
    return model.model_json_schema()


def is_field(schema: dict[str, Any], part: dict[str, Any], names: list[str]) -> bool:
    if not names:
        return True
    parts = [part, *part.get("anyOf", [])]
    resolved = [schema["$defs"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in parts]
    found = [each["properties"][names[0]] for each in resolved if names[0] in each.get("properties", {})]
    return any(is_field(schema, each, names[1:]) for each in found)


@every_page
def test_named_variables_are_read(page: Page) -> None:
    text = page.path.read_text()
    named = set(re.findall(r"\b(?:MLOPS|ENDPOINT|STREAM)_[A-Z_]*[A-Z]\b", text))

    assert sorted(name for name in named if name not in all_code()) == []


@cache
def all_code() -> str:
    folders = [PROJECT / name for name in ("mlops_assets", "serving", "feature_repo", "infra")]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml", ".yml", ".env")
    ]
    return "\n".join(path.read_text() for path in [*files, PROJECT / "Makefile"])


@every_page
def test_python_examples_compile_and_import(page: Page) -> None:
    for fence in page.fences:
        if fence.language == "python":
            compile(fence.text, page.name, "exec")
            modules = re.findall(r"^from ([\w.]+) import", fence.text, re.MULTILINE)
            assert [module for module in modules if importlib.util.find_spec(module) is None] == []


@every_page
def test_bodies_of_requests_are_json(page: Page) -> None:
    bodies = [words[words.index("-d") + 1] for words in page.commands if words[0] == "curl" and "-d" in words]

    for body in bodies:
        json.loads(body.replace("{…}", "{}"))


def test_the_readme_says_each_thing_on_one_screen(project: Path) -> None:
    sections = re.split(r"^## ", (project / "README.md").read_text(), flags=re.MULTILINE)

    assert {text.splitlines()[0]: lines for text in sections if (lines := len(text.splitlines())) > 50} == {}
