"""What every registry does, run over MLflow itself and over the fake that other tests use."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.domain.names import Alias
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.promotion import audit, enter_registration, promote
from mlops_assets.resources.registry.tags import Tag
from tests.conformance.conftest import card
from tests.kit.bundles import tiny_bundle
from tests.kit.samples import MOMENT, candidate, facts, made_of


def test_the_first_version_is_one(add, registry, model):
    version = add()
    assert (version.number, version.semantic) == ("1", "1.0.0")
    info = registry.version(model, "1")
    assert (info.bundle, info.run_id, info.training_set) == (version.bundle, version.run_id, "text")
    assert (info.facts, info.metric, info.score) == (facts(), "auc", 0.7)


def test_the_same_bundle_is_the_same_version(add, registry, model):
    assert add() == add()
    assert len(registry.versions(model)) == 1


def test_the_next_versions_count_on_by_what_changed(add, registry, model):
    add("one")
    add("two")
    add("three", facts=facts(service="flight_delay_v2"))
    add("four", facts=facts(service="flight_delay_v2", classes=("no", "yes")))
    assert [(info.number, info.semantic) for info in registry.versions(model)] == [
        ("1", "1.0.0"), ("2", "1.0.1"), ("3", "1.1.0"), ("4", "2.0.0")
    ]  # fmt: skip


def test_the_bundle_comes_back_bit_for_bit(add, registry, model, tmp_path):
    version = add()
    fetched = registry.fetch_bundle(model, version.number, tmp_path / "cache")
    original = tmp_path / "bundles" / version.bundle
    assert fetched.name == version.bundle
    assert _content(fetched) == _content(original)
    assert registry.fetch_bundle(model, version.number, tmp_path / "cache") == fetched


def test_a_fetched_bundle_that_was_damaged_is_refused(add, registry, model, tmp_path):
    version = add()
    fetched = registry.fetch_bundle(model, version.number, tmp_path / "cache")
    damaged = fetched / "model.onnx"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes() + b"x")
    with pytest.raises(Exception, match=r"model\.onnx|digest"):
        registry.fetch_bundle(model, version.number, tmp_path / "cache")


def test_a_folder_that_is_not_the_candidates_bundle_is_refused(registry, model, tmp_path):
    bundle = tiny_bundle(tmp_path, "one")
    with registry.run(model, "training", key="k") as run:
        pass
    with pytest.raises(ValueError, match="not"):
        registry.register(candidate(model, "0" * 64, run.run_id), bundle, made_of("0" * 64), card)
    assert registry.versions(model) == ()


def test_card_and_provenance_come_back(add, registry, model):
    one, two = add("one"), add("two")
    assert registry.card(model, one.number) == "# 1.0.0 after nothing\n"
    assert registry.card(model, two.number) == "# 1.0.1 after 1.0.0\n"
    assert registry.provenance(model, two.number) == made_of(two.bundle)


def test_an_alias_points_to_one_version(add, registry, model):
    one, two = add("one"), add("two")
    assert registry.resolve(model, Alias.CHAMPION) is None
    registry.set_alias(model, Alias.CHAMPION, one.number)
    registry.set_alias(model, Alias.ANCHOR, one.number)
    registry.set_alias(model, Alias.CHAMPION, two.number)
    assert registry.resolve(model, Alias.CHAMPION) == "2"
    assert [info.aliases for info in registry.versions(model)] == [("anchor",), ("champion",)]
    registry.drop_alias(model, Alias.CHAMPION)
    registry.drop_alias(model, Alias.CHAMPION)
    assert registry.resolve(model, Alias.CHAMPION) is None


def test_a_promotion_moves_the_aliases(add, registry, model, tmp_path):
    ledger = Ledger(folder=str(tmp_path / "ledger"))
    for content in ("one", "two"):
        version = add(content)
        enter_registration(registry, ledger, model=model, number=version.number, actor="test", numbers={}, now=MOMENT)
        promote(
            registry,
            ledger,
            model=model,
            number=version.number,
            actor="ann",
            reason="better",
            numbers={},
            now=MOMENT,
        )
    assert [info.aliases for info in registry.versions(model)] == [("anchor", "archived"), ("champion",)]
    assert [info.tags[Tag.STATE] for info in registry.versions(model)] == ["archived", "champion"]
    assert audit(registry, ledger, model) == []


def test_an_unknown_version_is_told_with_those_there_are(add, registry, model):
    assert registry.versions("nobody") == ()
    assert registry.resolve("nobody", Alias.CHAMPION) is None
    add()
    for ask in (
        lambda: registry.version(model, "7"),
        lambda: registry.set_alias(model, Alias.CHAMPION, "7"),
        lambda: registry.fetch_bundle(model, "7", Path("unused")),
    ):
        with pytest.raises(LookupError, match=r"has no version 7 .* it has: 1"):
            ask()


def test_tags_on_a_version_hide_secrets(add, registry, model):
    add(tags={"team": "flights", "db_password": "hunter2"})
    registry.tag(model, "1", {"source": "postgresql://me:hunter2@host/db"})
    tags = registry.version(model, "1").tags
    assert tags["team"] == "flights"
    assert tags["source"] == "postgresql://***@host/db"
    assert "hunter2" not in str(tags)


def test_a_run_with_a_known_key_is_continued(registry, model):
    with registry.run(model, "training", key="k") as first:
        first.metrics({"loss": 1.0}, step=0)
    with registry.run(model, "training", key="k") as second:
        assert (second.run_id, second.resumed) == (first.run_id, True)
    with registry.run(model, "training", key="other") as third:
        assert third.run_id != first.run_id
        assert not third.resumed


def test_threads_that_register_one_bundle_make_one_version(add, registry, model):
    with ThreadPoolExecutor(3) as pool:
        versions = list(pool.map(lambda _: add(), range(3)))
    assert {version.number for version in versions} == {"1"}
    assert len(registry.versions(model)) == 1


def test_the_lock_may_be_taken_again(registry, model):
    with registry.lock(model), registry.lock(model):
        assert registry.versions(model) == ()


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
