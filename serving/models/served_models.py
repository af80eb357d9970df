"""What each model's release means on this worker: bundles opened, checked, warmed and ready to answer.

`Models` watches the release files. A new generation is loaded beside the old one and takes its place between
two requests; one that cannot be served leaves the old one in place and says why. Routes no request.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from serving.contract.arms import Role
from serving.contract.bundle import CorruptBundleError, ProviderError
from serving.contract.release import Arm, Release, ReleaseError, read_release
from serving.models.breaker import Breaker
from serving.models.loaded_model import LoadedModel
from serving.models.router import Route, build_router
from serving.telemetry.meter import Meter, Meters

MIXED = "m"  # in the place of an arm's number, which is hexadecimal
_PAUSE = 1.0  # seconds until a failed load is tried again; doubles
_LONGEST_PAUSE = 30.0
_BREAKER_PAUSE = 2.0
_BAKED = 0  # generation of the release that a Bento carries
_log = logging.getLogger("serving.models.served_models")


class CannotServe(Exception):
    """A release that this worker cannot serve; the message says every reason."""


class ServedArm:
    """One arm as this worker serves it: the loaded bundle, its breaker and its meter."""

    __slots__ = ("breaker", "digest", "index", "loaded", "meter", "name", "role", "tail", "version")

    def __init__(self, arm: Arm, loaded: LoadedModel, meter: Meter, breaker: Breaker, tail: str) -> None:
        self.name, self.version, self.role = arm.name, arm.version, str(arm.role)
        self.digest = arm.bundle
        self.loaded, self.meter, self.breaker = loaded, meter, breaker
        self.tail = tail  # ends a request's id: generation and arm, so that feedback finds its way


@dataclass(frozen=True)
class ServedModel:
    """One generation of one model, ready."""

    release: Release
    route: Route
    arms: dict[str, ServedArm]
    champion: ServedArm
    previous: ServedArm | None
    fallbacks: dict[str, tuple[ServedArm, ...]]  # arm → who answers, in this order
    only: ServedArm | None  # the arm that answers every request, where there is but one
    shares_keys: bool  # the arms have entity keys, and the same ones

    @cached_property
    def entity_names(self) -> tuple[str, ...]:
        """The entity keys of its versions."""
        return tuple(dict.fromkeys(name for arm in self.arms.values() for name in arm.loaded.contract.entity))

    @property
    def mixed_tail(self) -> str:
        """How the id of a request ends whose rows belong to several arms."""
        return f"{self.release.generation:x}.{MIXED}"

    def by_version(self, version: str) -> ServedArm | None:
        return next((arm for arm in self.arms.values() if arm.version == version), None)


@dataclass(frozen=True)
class Trouble:
    """Why the newest release of a model is not the one that is served."""

    generation: int | None
    reason: str
    attempts: int
    again: float  # clock time of the next try


class ServedModels:
    """Every model that has a release, at the newest generation that could be loaded."""

    def __init__(
        self,
        releases: Path,
        bundles: Path,
        *,
        meters: Meters,
        load_bundle: Callable[[Path, str], LoadedModel],
        baked: Release | None = None,
        baked_path: Path | None = None,
        drain: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`drain`: seconds for which a model whose release was deleted is still served, but not ready."""
        self._releases, self._bundles, self._drain = releases, bundles, drain
        self._meters, self._load, self._clock = meters, load_bundle, clock
        self._baked, self._baked_path = baked, baked_path
        self._seen: dict[str, tuple[int, ...]] = {}
        self.in_memory: dict[tuple[str, str], LoadedModel] = {}  # (digest, provider) → what is in memory
        self._versions: dict[str, str] = {}  # digest → version, of every release seen
        self.served: dict[str, ServedModel] = {}
        self.troubles: dict[str, Trouble] = {}
        self._deleted: dict[str, float] = {}  # served models without a release file, and since when
        self.rounds = 0

    @property
    def ready(self) -> bool:
        """There is a model to serve, at whatever generation, that goes on to be; `is_ready` says it of each."""
        return any(map(self.is_ready, tuple(self.served)))

    def is_ready(self, model: str) -> bool:
        return model in self.served and model not in self._deleted

    def poll(self) -> bool:
        """Look once at the release files; True where a generation took another's place."""
        changed = False
        if (files := self._files()) is not None:
            changed = self._let_go(files)
            for model, path in files.items():
                changed |= self._look(model, path)
        if self._baked and self._baked.model not in (*self.served, *self.troubles, *self._seen):
            changed |= self._take(self._baked)
        if changed:
            self._forget()
        self.rounds += 1
        return changed

    def _files(self) -> dict[str, Path] | None:
        """Model → release file. None where the folder shows nothing at all, not even a lock: it is not mounted, say."""
        try:
            files = [path for path in sorted(self._releases.iterdir()) if path.is_file()]
        except OSError:
            return None
        return {f.stem: f for f in files if f.match("[!.]*.json")} if files else None

    def _let_go(self, files: Mapping[str, Path]) -> bool:
        """Forget troubles of files that are gone, and stop serving models whose release was deleted."""
        for model in self.troubles.keys() - files.keys():
            if self.troubles[model].generation != _BAKED:
                del self.troubles[model]
                self._seen.pop(model, None)
        now = self._clock()
        released = {name for name, served in self.served.items() if served.release is not self._baked}
        self._deleted = {model: self._deleted.get(model, now) for model in released - files.keys()}
        due = [model for model, since in self._deleted.items() if now - since >= self._drain]
        for model in due:
            del self.served[model], self._deleted[model]
            self._seen.pop(model, None)
            _log.info("%s: its release was deleted; it is served no more", model)
        return bool(due)

    def _look(self, model: str, path: Path) -> bool:
        try:
            stat = path.stat()
        except OSError:
            return False  # gone between listing and looking: what is served goes on
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        trouble = self.troubles.get(model)
        due = trouble is not None and self._clock() >= trouble.again
        if self._seen.get(model) == seen and not due:
            return False
        self._seen[model] = seen
        try:
            release = read_release(path)
        except (OSError, ReleaseError) as err:
            self._trouble(model, None, str(err))
            return False
        if release.model != model:
            self._trouble(model, release.generation, f"{path.name} holds a release of {release.model}")
            return False
        return self._take(release)

    def _take(self, release: Release) -> bool:
        current = self.served.get(release.model)
        if current and release.generation <= current.release.generation:
            if current.release == release:
                self.troubles.pop(release.model, None)
            else:
                behind = f"generation {release.generation} is not above {current.release.generation}"
                self._trouble(release.model, release.generation, behind)
            return False
        try:
            served = self._build(release)
        except CannotServe as err:
            self._trouble(release.model, release.generation, str(err))
            return False
        self.served[release.model] = served  # from here on requests go to the new generation
        self.troubles.pop(release.model, None)
        _log.info("%s: serving generation %s", release.model, release.generation)
        return True

    def _trouble(self, model: str, generation: int | None, reason: str) -> None:
        before = self.troubles.get(model)
        attempts = before.attempts + 1 if before and before.reason == reason else 1
        again = self._clock() + min(_PAUSE * 2 ** (attempts - 1), _LONGEST_PAUSE)
        self.troubles[model] = Trouble(generation, reason, attempts, again)
        if attempts == 1:
            _log.error("%s: generation %s is not served: %s", model, generation, reason)

    def _build(self, release: Release) -> ServedModel:
        digests = dict.fromkeys(arm.bundle for arm in release.arms)
        loaded, problems = {}, []
        for digest in (*digests, *([release.fallback] if release.fallback else [])):
            try:
                loaded[digest] = self._get(digest, release)
            except (CorruptBundleError, ProviderError, OSError, ValueError, CannotServe) as err:
                problems.append(f"bundle {digest[:12]}: {err}")
        if problems:
            raise CannotServe("; ".join(problems))
        return self._assemble(release, loaded)

    def _get(self, digest: str, release: Release) -> LoadedModel:
        key = (digest, str(release.provider))
        if key not in self.in_memory:
            path = self._baked_path if release is self._baked else None
            loaded = self._load(path or self._bundles / digest, str(release.provider))
            if loaded.contract.model != release.model:
                raise CannotServe(f"belongs to {loaded.contract.model}, not to {release.model}")
            self.in_memory[key] = loaded
        return self.in_memory[key]

    def _assemble(self, release: Release, loaded: dict[str, LoadedModel]) -> ServedModel:
        served = {
            arm.name: self._serve_arm(release, arm, loaded[arm.bundle], index) for index, arm in enumerate(release.arms)
        }
        champion = served[release.champion.name]
        previous = None
        self._versions |= {arm.bundle: arm.version for arm in release.arms}
        if release.fallback:
            version = self._versions.get(release.fallback, release.fallback[:12])
            arm = Arm("previous", version, release.fallback, Role.CHAMPION, 0.0)
            previous = self._serve_arm(release, arm, loaded[release.fallback], len(release.arms))
        rest = (champion, *([previous] if previous else []))
        fallbacks = {name: (arm, *(other for other in rest if other is not arm)) for name, arm in served.items()}
        only = champion if len(release.arms) == 1 else None
        keys = {arm.loaded.contract.entity for arm in served.values()}
        shares_keys = len(keys) == 1 and keys != {()}
        return ServedModel(release, build_router(release), served, champion, previous, fallbacks, only, shares_keys)

    def _serve_arm(self, release: Release, arm: Arm, loaded: LoadedModel, index: int) -> ServedArm:
        breaker = Breaker(share=release.guards.error_share, pause=_BREAKER_PAUSE)
        meter = self._meters.of(release.model, arm.version, arm.name)
        return ServedArm(arm, loaded, meter, breaker, f"{release.generation:x}.{index:x}")

    def _forget(self) -> None:
        """Let go of bundles that no release names any more."""
        used = {
            (arm.digest, str(served.release.provider))
            for served in self.served.values()
            for arm in (*served.arms.values(), *([served.previous] if served.previous else []))
        }
        for key in self.in_memory.keys() - used:
            del self.in_memory[key]
