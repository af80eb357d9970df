"""The model registry on MLflow: runs, versions, aliases. It decides nothing; others say what is promoted.

A version holds the bundle itself, so any machine gets back what was registered, bit for bit. Registering a
bundle twice gives one version; a registration that was cut off is completed by the next attempt. An alias is
resolved once, at the border; the version number goes on from there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from filelock import FileLock

from mlops_assets.domain.names import Alias
from mlops_assets.domain.records import Version
from mlops_assets.domain.registry.lineage import Provenance
from mlops_assets.domain.registry.versions import Bump, Candidate, VersionInfo, next_version
from mlops_assets.resources.registry.tags import Tag, redacted, version_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlops_assets.resources.registry.tracking import TrackedRun

Card = Callable[[Bump, VersionInfo | None], str]
_WAIT = 120.0  # seconds for another process to finish a registration of the same model


class Registry(dg.ConfigurableResource["Registry"]):
    """Runs and versions of all models in one MLflow store."""

    tracking_uri: str  # sqlite:///…, postgresql://… or the URL of a server
    artifact_root: str  # folder or URL of artefacts; empty: where the server puts them
    lock_folder: str
    ui_url: str
    dagster_url: str

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
    ) -> "Iterator[TrackedRun]":
        """The run with this key: a new one, or the one begun with the key before. `parent` is a run's id."""
        links = {Tag.DAGSTER_RUN: dagster_run, Tag.DAGSTER_URL: self.dagster_run_url(dagster_run)}
        all_tags = {Tag.MODEL: model, Tag.COMMIT: commit, Tag.PARENT: parent or "", **links, **(tags or {})}
        run = self._begin(model, name, key, {tag: value for tag, value in all_tags.items() if value})
        try:
            yield run
        except BaseException as err:
            self._client.set_terminated(run.run_id, "FAILED" if isinstance(err, Exception) else "KILLED")
            raise
        self._client.set_terminated(run.run_id, "FINISHED")

    def reopen(self, model: str, run_id: str) -> "TrackedRun":
        """A run that is finished, to write more into it. What it already says stays."""
        return self._tracked(model, run_id, resumed=True)

    def register(self, candidate: Candidate, bundle: Path, provenance: Provenance, card: Card) -> Version:
        """The version of this bundle: the one it has, or the next. `card` writes the model card for it."""
        with self.lock(candidate.model):
            versions = self.versions(candidate.model)
            known = next((v for v in versions if v.bundle == candidate.bundle), None)
            number = known.number if known else self._create(candidate, bundle, provenance, card, versions=versions)
            info = self.version(candidate.model, number)
            self._mlflow.link_run(self._client, info)
        return Version(info.model, info.number, info.semantic, info.bundle, info.run_id)

    def fetch_bundle(self, model: str, number: str, into: Path) -> Path:
        """The version's bundle as a folder under `into`, checked file by file against its digest."""
        return self._mlflow.fetch_bundle(self._client, self.version(model, number), into, self.tracking_uri)

    def provenance(self, model: str, number: str) -> Provenance:
        """What made the version."""
        return self._mlflow.read_provenance(self._client, self.version(model, number), self.tracking_uri)

    def card(self, model: str, number: str) -> str:
        """The version's model card, in Markdown."""
        return self._mlflow.read_card(self._client, self.version(model, number), self.tracking_uri)

    def versions(self, model: str) -> tuple[VersionInfo, ...]:
        """Every version, oldest first."""
        return self._mlflow.read_versions(self._client, model)

    def version(self, model: str, number: str) -> VersionInfo:
        """One version by its number."""
        versions = self.versions(model)
        for info in versions:
            if info.number == str(number):
                return info
        known = ", ".join(info.number for info in versions) or "none"
        raise LookupError(f"{model} has no version {number} in the registry; it has: {known}")

    def resolve(self, model: str, alias: Alias) -> str | None:
        """The number of the version that the alias points to."""
        return self._mlflow.read_aliases(self._client, model).get(alias.value)

    def learnt_until(self, model: str, alias: Alias) -> datetime | None:
        """How far the version that the alias points to has learnt; none where there is no version, or no time."""
        number = self.resolve(model, alias)
        return None if number is None else self.version(model, number).learnt_until

    def set_alias(self, model: str, alias: Alias, number: str) -> None:
        """Point the alias to this version and to no other."""
        self._client.set_registered_model_alias(model, alias.value, self.version(model, number).number)

    def drop_alias(self, model: str, alias: Alias) -> None:
        """Let the alias point to nothing."""
        if self.resolve(model, alias) is not None:
            self._client.delete_registered_model_alias(model, alias.value)

    def tag(self, model: str, number: str, tags: Mapping[str, str]) -> None:
        """Write tags on a version."""
        for key, value in redacted(tags).items():
            self._client.set_model_version_tag(model, str(number), key, value)

    def lock(self, model: str) -> FileLock:
        """Held while versions or aliases of the model change; the same process may take it again."""
        folder = Path(self.lock_folder)
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(str(folder / f"{model}.lock"), timeout=_WAIT, is_singleton=True)

    def run_url(self, model: str, run_id: str) -> str:
        return f"{self.ui_url}/#/experiments/{self._experiment(model)}/runs/{run_id}"

    def version_url(self, model: str, number: str) -> str:
        return f"{self.ui_url}/#/models/{model}/versions/{number}"

    def dagster_run_url(self, run_id: str) -> str:
        return f"{self.dagster_url}/runs/{run_id}" if self.dagster_url and run_id else ""

    @property
    def _client(self) -> "MlflowClient":
        from mlops_assets.resources.registry.tracking import connect

        return connect(self.tracking_uri)

    @property
    def _mlflow(self):
        """How versions are kept in MLflow, which is imported when it is first used."""
        from mlops_assets.resources.registry import mlflow_model

        return mlflow_model

    def _tracked(self, model: str, run_id: str, *, resumed: bool) -> "TrackedRun":
        from mlops_assets.resources.registry.tracking import TrackedRun

        return TrackedRun(self._client, run_id, self.run_url(model, run_id), resumed=resumed)

    def _begin(self, model: str, name: str, key: str, tags: Mapping[str, str]) -> "TrackedRun":
        if "'" in key:
            raise ValueError(f"the key of a run cannot hold a quotation mark: {key}")
        with self.lock(model):
            experiment = self._experiment(model)
            found = self._client.search_runs([experiment], f"tags.`{Tag.KEY}` = '{key}'", max_results=1)
            if found:
                run_id = found[0].info.run_id
                self._client.update_run(run_id, status="RUNNING")
            else:
                run_id = self._client.create_run(experiment, run_name=name, tags={Tag.KEY: key}).info.run_id
        run = self._tracked(model, run_id, resumed=bool(found))
        run.tags(tags)
        return run

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is not None:
            return found.experiment_id
        with self.lock(model):
            again = self._client.get_experiment_by_name(model)
            location = f"{self.artifact_root.rstrip('/')}/{model}" if self.artifact_root else None
            return again.experiment_id if again else self._client.create_experiment(model, location)

    def _create(
        self,
        candidate: Candidate,
        bundle: Path,
        provenance: Provenance,
        card: Card,
        *,
        versions: tuple[VersionInfo, ...],
    ) -> str:
        """A version in one step of the database, after everything it points to is there."""
        last = versions[-1] if versions else None
        bump = next_version(candidate.facts, last and last.facts, last and last.semantic)
        text = card(bump, last)
        experiment = self._experiment(candidate.model)
        logged = self._mlflow.log_bundle(self._client, experiment, candidate, bundle, tag=Tag.BUNDLE)
        self._mlflow.log_papers(self._client, logged, card=text, provenance=provenance)
        self._mlflow.ensure_registered_model(self._client, candidate.model, candidate.purpose)
        tags = version_tags(candidate, bump)
        return self._mlflow.create_version(
            self._client, logged, candidate, tags, card=text, tracking_uri=self.tracking_uri
        )
