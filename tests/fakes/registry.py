"""A registry in memory, with state that a test can read. One conformance suite runs over it and MLflow."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from threading import RLock
from typing import Any

from mlops_assets.domain.names import Alias
from mlops_assets.domain.records import Version
from mlops_assets.domain.registry.lineage import Provenance
from mlops_assets.domain.registry.versions import Candidate, VersionInfo, next_version
from mlops_assets.resources.registry.model_registry import Card
from mlops_assets.resources.registry.tags import Tag, redacted
from serving.contract.bundle import open_bundle
from tests.kit.samples import MOMENT


@dataclass
class FakeRun:
    """What one run was told."""

    run_id: str
    url: str
    resumed: bool = False
    status: str = "RUNNING"
    noted_params: dict[str, str] = field(default_factory=dict)
    noted_tags: dict[str, str] = field(default_factory=dict)
    history: dict[str, dict[int, float]] = field(default_factory=dict)  # metric → step → value
    files: dict[str, bytes] = field(default_factory=dict)
    datasets: list[Mapping[str, Any]] = field(default_factory=list)

    def params(self, values: Mapping[str, Any]) -> None:
        for name, value in redacted(values).items():
            if self.noted_params.setdefault(name, value) != value:
                raise ValueError(f"parameter {name} is {self.noted_params[name]} already, not {value}")

    def tags(self, values: Mapping[str, Any]) -> None:
        self.noted_tags.update(redacted(values))

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        for name, value in values.items():
            self.history.setdefault(name, {}).setdefault(step, float(value))

    def text(self, file: str, content: str) -> None:
        self.files[file] = content.encode()

    def figure(self, file: str, png: bytes) -> None:
        self.files[file] = png

    def file(self, path: Path, folder: str = "") -> None:
        self.files[f"{folder}/{path.name}".lstrip("/")] = path.read_bytes()

    def folder(self, path: Path, name: str) -> None:
        for file in filter(Path.is_file, path.rglob("*")):
            self.files[f"{name}/{file.relative_to(path)}"] = file.read_bytes()

    def dataset(self, *, name: str, digest: str, context: str, source: Mapping[str, str]) -> None:
        self.datasets.append({"name": name, "digest": digest, "context": context, "source": dict(source)})


class FakeRegistry:
    """Runs, versions and aliases in dictionaries; bundles as copies under one folder."""

    def __init__(self, folder: Path) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.infos: dict[str, list[VersionInfo]] = {}
        self.aliases: dict[tuple[str, Alias], str] = {}
        self.papers: dict[tuple[str, str], tuple[str, Provenance]] = {}
        self._bundles = folder / "bundles"
        self._keys: dict[tuple[str, str], str] = {}
        self._locks: dict[str, RLock] = {}

    @contextmanager
    def run(
        self,
        model: str,
        name: str,
        *,
        key: str,
        dagster_run: str = "",
        commit: str = "",
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[FakeRun]:
        with self.lock(model):
            run_id = self._keys.setdefault((model, key), f"run{len(self._keys) + 1}")
            resumed = run_id in self.runs
            run = self.runs.setdefault(run_id, FakeRun(run_id, self.run_url(model, run_id)))
        run.resumed, run.status = resumed, "RUNNING"
        links = {Tag.DAGSTER_RUN: dagster_run, Tag.DAGSTER_URL: self.dagster_run_url(dagster_run)}
        given = {Tag.MODEL: model, Tag.COMMIT: commit, Tag.PARENT: parent or "", **links, **(tags or {})}
        run.tags({tag: value for tag, value in given.items() if value})
        try:
            yield run
        except BaseException as err:
            run.status = "FAILED" if isinstance(err, Exception) else "KILLED"
            raise
        run.status = "FINISHED"

    def register(self, candidate: Candidate, bundle: Path, provenance: Provenance, card: Card) -> Version:
        with self.lock(candidate.model):
            versions = self.versions(candidate.model)
            known = next((info for info in versions if info.bundle == candidate.bundle), None)
            number = (known or self._create(candidate, bundle, provenance, card, versions)).number
            info = self.version(candidate.model, number)
        self.runs[info.run_id].tags({Tag.VERSION: info.number, Tag.SEMANTIC: info.semantic, Tag.BUNDLE: info.bundle})
        return Version(info.model, info.number, info.semantic, info.bundle, info.run_id)

    def fetch_bundle(self, model: str, number: str, into: Path) -> Path:
        digest = self.version(model, number).bundle
        if not (into / digest).exists():
            shutil.copytree(self._bundles / digest, into / digest)
        open_bundle(into / digest)
        return into / digest

    def provenance(self, model: str, number: str) -> Provenance:
        return self.papers[model, self.version(model, number).number][1]

    def card(self, model: str, number: str) -> str:
        return self.papers[model, self.version(model, number).number][0]

    def versions(self, model: str) -> tuple[VersionInfo, ...]:
        return tuple(replace(info, aliases=self._aliases_of(info)) for info in self.infos.get(model, []))

    def version(self, model: str, number: str) -> VersionInfo:
        for info in self.versions(model):
            if info.number == str(number):
                return info
        known = ", ".join(info.number for info in self.versions(model)) or "none"
        raise LookupError(f"{model} has no version {number} in the registry; it has: {known}")

    def resolve(self, model: str, alias: Alias) -> str | None:
        return self.aliases.get((model, alias))

    def set_alias(self, model: str, alias: Alias, number: str) -> None:
        self.aliases[model, alias] = self.version(model, number).number

    def drop_alias(self, model: str, alias: Alias) -> None:
        self.aliases.pop((model, alias), None)

    def tag(self, model: str, number: str, tags: Mapping[str, str]) -> None:
        index = int(self.version(model, number).number) - 1
        info = self.infos[model][index]
        self.infos[model][index] = replace(info, tags={**info.tags, **redacted(tags)})

    def lock(self, model: str) -> RLock:
        return self._locks.setdefault(model, RLock())

    def run_url(self, model: str, run_id: str) -> str:
        return f"memory://{model}/runs/{run_id}"

    def version_url(self, model: str, number: str) -> str:
        return f"memory://{model}/versions/{number}"

    def dagster_run_url(self, run_id: str) -> str:
        return f"memory://dagster/runs/{run_id}" if run_id else ""

    def _create(
        self,
        candidate: Candidate,
        bundle: Path,
        provenance: Provenance,
        card: Card,
        versions: tuple[VersionInfo, ...],
    ) -> VersionInfo:
        if open_bundle(bundle).digest != candidate.bundle:
            raise ValueError(f"{bundle} is not {candidate.bundle}")
        last = versions[-1] if versions else None
        bump = next_version(candidate.facts, last and last.facts, last and last.semantic)
        text = card(bump, last)
        shutil.copytree(bundle, self._bundles / candidate.bundle, dirs_exist_ok=True)
        info = VersionInfo(
            model=candidate.model,
            number=str(len(versions) + 1),
            semantic=bump.semantic,
            bundle=candidate.bundle,
            run_id=candidate.run_id,
            training_set=candidate.training_set,
            facts=candidate.facts,
            metric=candidate.metric,
            score=candidate.score,
            aliases=(),
            tags=redacted(candidate.tags),
            created_at=MOMENT + timedelta(hours=len(versions)),
        )
        self.infos.setdefault(candidate.model, []).append(info)
        self.papers[candidate.model, info.number] = (text, provenance)
        return info

    def _aliases_of(self, info: VersionInfo) -> tuple[str, ...]:
        held = (
            alias for (model, alias), number in self.aliases.items() if (model, number) == (info.model, info.number)
        )
        return tuple(sorted(alias.value for alias in held))
