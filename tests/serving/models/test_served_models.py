"""Releases on a worker: swaps beside the old one, refusals that leave it in place, recovery by itself."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from serving.contract.arms import Role, Strategy
from serving.contract.release import Provider, Release, write_release
from serving.models.loaded_model import load_model
from serving.models.served_models import ServedModels
from serving.telemetry.meter import Meters
from tests.serving.graphs import category, contract, make_bundle, number, release

CONTRACT = contract([number("distance"), category("carrier")])


class Place:
    """Folders of releases and bundles, a worker's models, and a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.releases, self.bundles = folder / "releases", folder / "bundles"
        self.now = 0.0
        self.models = ServedModels(
            self.releases,
            self.bundles,
            meters=Meters(),
            load_bundle=partial(load_model, threads=1, most_rows=100),
            drain=5.0,
            clock=lambda: self.now,
        )

    def bundle(self, seed: int, **how) -> str:
        return make_bundle(self.bundles, CONTRACT, seed=seed, **how)

    def publish(self, made: Release) -> None:
        write_release(self.releases / "delay.json", made)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def test_a_new_generation_takes_the_olds_place(place):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    assert place.models.poll()
    before = place.models.served["delay"]
    assert not place.models.poll()
    place.publish(release(("champion", place.bundle(2), Role.CHAMPION, 1.0), generation=2))
    assert place.models.poll()
    after = place.models.served["delay"]
    assert (before.release.generation, after.release.generation) == (1, 2)
    assert before.champion.digest != after.champion.digest
    assert place.models.ready


def test_a_corrupt_bundle_leaves_the_old_one_and_says_why(place):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    place.models.poll()
    broken = place.bundle(2)
    with (place.bundles / broken / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    place.publish(release(("champion", broken, Role.CHAMPION, 1.0), generation=2))
    assert not place.models.poll()
    assert place.models.served["delay"].release.generation == 1
    trouble = place.models.troubles["delay"]
    assert trouble.generation == 2
    assert "model.onnx: content is" in trouble.reason
    assert place.models.ready


def test_a_bundle_that_arrives_late_is_served_without_hands(place):
    digest = place.bundle(1)
    shutil.move(place.bundles / digest, place.bundles.parent / "elsewhere")
    place.publish(release(("champion", digest, Role.CHAMPION, 1.0)))
    place.models.poll()
    assert "delay" in place.models.troubles
    assert not place.models.ready
    shutil.move(place.bundles.parent / "elsewhere", place.bundles / digest)
    assert not place.models.poll()  # not at every look
    place.now = 1.1
    assert place.models.poll()
    assert place.models.ready
    assert not place.models.troubles


@pytest.mark.parametrize("content", [b"", b'{"model": "delay", "gener', b"null", b"\xff\xfe"])
def test_half_a_file_changes_nothing(place, content):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    place.models.poll()
    (place.releases / "delay.json").write_bytes(content)
    assert not place.models.poll()
    assert place.models.served["delay"].release.generation == 1
    assert "delay" in place.models.troubles


def test_a_deleted_release_is_served_until_callers_have_moved_on(place):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    place.models.poll()
    (place.releases / "delay.json").unlink()
    place.models.poll()
    assert "delay" in place.models.served
    assert not place.models.is_ready("delay")
    assert not place.models.ready
    place.now = 4.9
    assert not place.models.poll()
    place.now = 5.0
    assert place.models.poll()
    assert place.models.served == {}
    assert place.models.in_memory == {}
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    assert place.models.poll()
    assert place.models.is_ready("delay")


def test_a_release_that_was_broken_and_then_deleted_goes_too(place):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    place.models.poll()
    (place.releases / "delay.json").write_text("{")
    place.models.poll()
    (place.releases / "delay.json").unlink()
    place.models.poll()
    place.now = 60.0
    assert place.models.poll()
    assert place.models.served == place.models.troubles == {}


def test_a_release_that_comes_back_in_time_goes_on(place):
    first = place.bundle(1)
    place.publish(release(("champion", first, Role.CHAMPION, 1.0)))
    place.models.poll()
    (place.releases / "delay.json").unlink()
    place.models.poll()
    place.publish(release(("champion", first, Role.CHAMPION, 1.0), generation=2))
    place.now = 60.0
    place.models.poll()
    assert place.models.is_ready("delay")


def test_a_folder_that_is_not_there_deletes_no_release(place):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    place.models.poll()
    place.releases.rename(place.releases.parent / "elsewhere")
    place.models.poll()
    place.releases.mkdir()  # as a mount point without its mount
    place.now = 60.0
    place.models.poll()
    assert place.models.is_ready("delay")


def test_one_models_trouble_is_its_own_and_goes_with_its_file(place):
    place.publish(release(("champion", place.bundle(1), Role.CHAMPION, 1.0)))
    (place.releases / "other.json").write_text("{")
    place.models.poll()
    assert set(place.models.troubles) == {"other"}
    assert place.models.ready
    assert [place.models.is_ready(name) for name in ("delay", "other")] == [True, False]
    (place.releases / "other.json").unlink()
    place.models.poll()
    assert place.models.troubles == {}


def test_a_lower_generation_is_not_taken(place):
    first = place.bundle(1)
    place.publish(release(("champion", first, Role.CHAMPION, 1.0), generation=5))
    place.models.poll()
    (place.releases / "delay.json").unlink()
    place.publish(release(("champion", place.bundle(2), Role.CHAMPION, 1.0), generation=4))
    place.models.poll()
    assert place.models.served["delay"].release.generation == 5
    assert "generation 4 is not above 5" in place.models.troubles["delay"].reason


def test_cuda_that_is_not_there_is_refused_by_name(place):
    made = release(("champion", place.bundle(1), Role.CHAMPION, 1.0))
    place.publish(replace(made, provider=Provider.CUDA))
    place.models.poll()
    if "delay" in place.models.served:
        pytest.skip("this machine has a GPU")
    assert "cuda was asked for" in place.models.troubles["delay"].reason
    assert not place.models.ready


def test_auto_says_what_runs(place):
    made = release(("champion", place.bundle(1), Role.CHAMPION, 1.0))
    place.publish(replace(made, provider=Provider.AUTO))
    place.models.poll()
    assert place.models.served["delay"].champion.loaded.provider in ("cpu", "cuda")


def test_bundles_that_no_release_names_are_let_go(place):
    digests = [place.bundle(seed) for seed in range(3)]
    for generation, digest in enumerate(digests, start=1):
        fallback = digests[generation - 2] if generation > 1 else None
        made = release(("champion", digest, Role.CHAMPION, 1.0), generation=generation, fallback=fallback)
        place.publish(made)
        place.models.poll()
    assert {digest for digest, _ in place.models.in_memory} == set(digests[1:])
    previous = place.models.served["delay"].previous
    assert previous is not None
    assert previous.version == "1.0.0"


def test_a_bundle_of_another_model_is_refused(place):
    other = make_bundle(place.bundles, contract([number("distance")], model="other"))
    place.publish(release(("champion", other, Role.CHAMPION, 1.0)))
    place.models.poll()
    assert "belongs to other" in place.models.troubles["delay"].reason


def test_arms_share_what_is_loaded(place):
    digest = place.bundle(1)
    arms = (("champion", digest, Role.CHAMPION, 0.5), ("b", digest, Role.VARIANT, 0.5))
    place.publish(release(*arms, strategy=Strategy.AB_TEST))
    place.models.poll()
    served = place.models.served["delay"]
    assert served.arms["champion"].loaded is served.arms["b"].loaded
