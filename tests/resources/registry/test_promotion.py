"""Promotion, rollback and what a kill between their steps leaves behind."""

from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.domain.names import Alias
from mlops_assets.domain.registry.champions import was_taken_down
from mlops_assets.domain.registry.ledger import Entry, LedgerAction
from mlops_assets.domain.registry.versions import VersionInfo
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.promotion import (
    audit,
    enter_registration,
    enter_rejection,
    promote,
    roll_back,
)
from mlops_assets.resources.registry.tags import Tag
from tests.fakes.registry import FakeRegistry
from tests.kit.samples import MOMENT, facts, sample


@pytest.fixture
def registry(tmp_path) -> FakeRegistry:
    """Three versions, none of them promoted."""
    fake = FakeRegistry(tmp_path)
    fake.infos["m"] = [
        sample(VersionInfo, model="m", number=str(n), semantic=f"1.0.{n}", bundle=f"b{n}", facts=facts(), tags={})
        for n in (1, 2, 3)
    ]
    return fake


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(folder=str(tmp_path / "ledger"))


def crown(registry, ledger, number: str, *, hours: int = 0, **given) -> Entry:
    known = {
        "actor": "gates",
        "reason": "better",
        "numbers": {"gain": 0.01},
        "now": MOMENT + timedelta(hours=hours),
    }
    return promote(registry, ledger, model="m", number=number, **known | given)


def uncrown(registry, ledger, cause: str, **given) -> Entry:
    known = {"actor": "ann", "reason": "errors", "numbers": {}, "now": MOMENT + timedelta(days=1)}
    return roll_back(registry, ledger, model="m", cause=cause, **known | given)


def pointed(registry) -> dict[str, str | None]:
    return {alias.value: registry.resolve("m", alias) for alias in Alias if registry.resolve("m", alias)}


def test_the_first_promotion_makes_champion_and_anchor(registry, ledger):
    enter_registration(registry, ledger, model="m", number="1", actor="pipeline", numbers={"auc": 0.7}, now=MOMENT)
    assert pointed(registry) == {"challenger": "1"}
    entry = crown(registry, ledger, "1")
    assert pointed(registry) == {"champion": "1", "anchor": "1"}
    assert entry.details["bundle"] == "b1"
    assert [e.action for e in ledger.entries("m")] == [LedgerAction.REGISTERED, LedgerAction.PROMOTED]


def test_the_next_promotion_archives_the_one_before(registry, ledger):
    for number in "123":
        crown(registry, ledger, number)
    assert pointed(registry) == {"champion": "3", "archived": "2", "anchor": "1"}
    assert [info.tags[Tag.STATE] for info in registry.versions("m")] == ["archived", "archived", "champion"]


def test_promoting_twice_is_entered_once(registry, ledger):
    first = crown(registry, ledger, "1")
    assert crown(registry, ledger, "1", hours=5, reason="again") == first
    assert len(ledger.entries("m")) == 1


def test_a_declared_anchor_is_settled(registry, ledger):
    crown(registry, ledger, "1")
    crown(registry, ledger, "3", anchor="2")
    assert registry.resolve("m", Alias.ANCHOR) == "2"


def test_an_enlisted_champion_stays_champion(registry, ledger):
    crown(registry, ledger, "1")
    enter_registration(registry, ledger, model="m", number="1", actor="pipeline", numbers={}, now=MOMENT)
    assert pointed(registry) == {"champion": "1", "anchor": "1"}


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"number": "9"}, LookupError, "has no version 9"),
        ({"anchor": "9"}, LookupError, "has no version 9"),
        ({"actor": " ", "reason": ""}, ValueError, "actor and reason"),
    ],
)
def test_a_promotion_that_cannot_be_leaves_no_trace(registry, ledger, given, *, error, told):
    with pytest.raises(error, match=told):
        crown(registry, ledger, given.pop("number", "1"), **given)
    assert ledger.entries("m") == []
    assert pointed(registry) == {}


def test_a_rollback_goes_to_the_champion_before(registry, ledger):
    crown(registry, ledger, "1")
    crown(registry, ledger, "2")
    entry = uncrown(registry, ledger, "incident 1")
    assert (entry.action, entry.subject) == (LedgerAction.ROLLBACK, "1")
    assert pointed(registry) == {"champion": "1", "archived": "2", "anchor": "1"}
    assert uncrown(registry, ledger, "incident 1") == entry  # told again: nothing more happens
    assert pointed(registry)["champion"] == "1"


def test_an_old_cause_told_again_does_not_undo_what_came_after(registry, ledger):
    crown(registry, ledger, "1")
    crown(registry, ledger, "2")
    uncrown(registry, ledger, "incident 1")
    crown(registry, ledger, "3", hours=48)
    uncrown(registry, ledger, "incident 1")
    assert pointed(registry)["champion"] == "3"


@pytest.mark.parametrize(
    ("to", "told"), [("3", "versions promoted so far are 1, 2"), ("2", "champion is 2"), ("9", "9")]
)
def test_a_rollback_goes_only_to_an_earlier_champion(registry, ledger, to, told):
    crown(registry, ledger, "1")
    crown(registry, ledger, "2")
    with pytest.raises(LookupError, match=told):
        uncrown(registry, ledger, "c", to=to)


def test_a_rolled_back_version_is_known_until_its_promotion(registry, ledger):
    def down(number: str) -> bool:
        return was_taken_down(ledger.entries("m"), number)

    crown(registry, ledger, "1")
    crown(registry, ledger, "2")
    assert not down("2")
    uncrown(registry, ledger, "incident 1")
    assert (down("1"), down("2")) == (False, True)
    crown(registry, ledger, "2", hours=48, actor="ann")
    assert not down("2")
    uncrown(registry, ledger, "incident 2", to="1")
    uncrown(registry, ledger, "incident 3", to="2")
    assert (down("1"), down("2")) == (True, False)


def test_a_rollback_without_a_champion_is_told(registry, ledger):
    with pytest.raises(LookupError, match="champion is none"):
        uncrown(registry, ledger, "c")


def test_a_rejected_candidate_is_entered_once(registry, ledger):
    told = {
        "model": "m",
        "bundle": "b9",
        "actor": "gates",
        "reason": "worse",
        "numbers": {"gain": -0.1},
        "now": MOMENT,
    }
    assert enter_rejection(ledger, **told) == enter_rejection(ledger, **told)
    assert [(e.action, e.subject) for e in ledger.entries("m")] == [(LedgerAction.REJECTED, "b9")]
    assert pointed(registry) == {}


class Killed(BaseException):
    """Stands for a kill."""


class Dying(FakeRegistry):
    """Dies at the n-th change, before making it; its state is that of the registry it was made from."""

    def __init__(self, registry: FakeRegistry, at: int) -> None:
        super().__init__(Path("unused"))
        self.infos, self.aliases, self.left = registry.infos, registry.aliases, at

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def set_alias(self, model, alias, number):
        self._count()
        super().set_alias(model, alias, number)

    def drop_alias(self, model, alias):
        self._count()
        super().drop_alias(model, alias)

    def tag(self, model, number, tags):
        self._count()
        super().tag(model, number, tags)


@pytest.mark.parametrize("at", range(6))
def test_a_promotion_killed_between_two_steps_heals(registry, ledger, at):
    crown(registry, ledger, "1")
    enter_registration(registry, ledger, model="m", number="2", actor="pipeline", numbers={}, now=MOMENT)
    with pytest.raises(Killed):
        crown(Dying(registry, at), ledger, "2")
    crown(registry, ledger, "2")
    assert pointed(registry) == {"champion": "2", "archived": "1", "anchor": "1"}
    assert [e.action for e in ledger.entries("m")] == [
        LedgerAction.PROMOTED,
        LedgerAction.REGISTERED,
        LedgerAction.PROMOTED,
    ]
    assert audit(registry, ledger, "m") == []


@pytest.mark.parametrize("at", range(5))
def test_a_rollback_killed_between_two_steps_heals(registry, ledger, at):
    crown(registry, ledger, "1")
    crown(registry, ledger, "2")
    with pytest.raises(Killed):
        uncrown(Dying(registry, at), ledger, "incident 1")
    uncrown(registry, ledger, "incident 1")
    assert pointed(registry) == {"champion": "1", "archived": "2", "anchor": "1"}
    assert audit(registry, ledger, "m") == []


def test_an_alias_moved_by_hand_is_found(registry, ledger):
    crown(registry, ledger, "1")
    assert audit(registry, ledger, "m") == []
    registry.set_alias("m", Alias.CHAMPION, "3")
    (problem,) = audit(registry, ledger, "m")
    assert "is version 1, the registry's alias points to 3" in problem
    crown(registry, ledger, "1")
    assert audit(registry, ledger, "m") == []


def test_an_entry_cut_off_the_ledger_is_found(registry, ledger, tmp_path):
    crown(registry, ledger, "1")
    crown(registry, ledger, "2")
    file = tmp_path / "ledger" / "m.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert any("is missing" in problem for problem in audit(registry, ledger, "m"))


def test_who_served_follows_promotions_and_rollbacks(registry, ledger):
    crown(registry, ledger, "1")
    crown(registry, ledger, "2", hours=10)
    uncrown(registry, ledger, "incident")
    served = [ledger.entry_in_force("m", MOMENT + timedelta(hours=hours)) for hours in (0, 9, 10, 23, 24)]
    assert [entry and entry.subject for entry in served] == ["1", "1", "2", "2", "1"]
