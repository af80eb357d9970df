"""What arms earn: each outcome once, whoever took it and whenever it came."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from serving.contract.arms import Role, Strategy
from serving.contract.release import Reward, write_release
from serving.log.feedback import Feedback
from serving.models.bandits import Bandits
from serving.models.loaded_model import load_model
from serving.models.request_ids import RequestIds
from serving.models.served_models import ServedModel, ServedModels
from serving.problems import InvalidInput, Overloaded
from serving.telemetry.meter import Meters
from tests.serving.graphs import bandit, contract, make_bundle, number, release

IDS = RequestIds(b"a secret of this test")
Earned = dict[str, tuple[int, float]]


class Worker:
    """The parts of one worker that feedback passes through."""

    def __init__(self, home: Path, name: str) -> None:
        loading = partial(load_model, threads=1, most_rows=10)
        self.models = ServedModels(home / "releases", home / "bundles", meters=Meters(), load_bundle=loading)
        self.feedback = Feedback(home / "feedback", name, IDS, Meters(), most_rows=20_000, segment=10**6)
        self.bandits = Bandits(home / "rewards", home / "feedback")
        self.look()

    def look(self) -> None:
        self.models.poll()
        self.bandits.settle([self.served])

    @property
    def served(self) -> ServedModel:
        return self.models.served["delay"]

    def tell(self, *outcomes: tuple[str, Any]) -> None:
        self.feedback.take(self.served, [{"request_id": name, "outcome": outcome} for name, outcome in outcomes])
        self.feedback.flush()

    def earned(self) -> Earned:
        self.bandits.settle([self.served])
        state = self.bandits.state(self.served.release)
        assert state is not None
        return {each.arm: (each.count, each.total) for each in state.arms}


@pytest.fixture
def home(tmp_path) -> Path:
    put_release(tmp_path, 1)
    return tmp_path


def put_release(home: Path, generation: int, *, variant: int = 1, reward: Reward = Reward.BINARY) -> None:
    first, second = (make_bundle(home / "bundles", contract([number("distance")]), seed=seed) for seed in (0, variant))
    arms = ("champion", first, Role.CHAMPION, 0.5), ("variant", second, Role.VARIANT, 0.5)
    how = {"strategy": Strategy.EPSILON_GREEDY, "bandit": bandit(reward), "generation": generation}
    write_release(home / "releases" / "delay.json", release(*arms, **how))


def issued(place: int, arm: int, generation: int = 1) -> str:
    return IDS.issue("delay", f"w-{place:x}-", 1, f"{generation:x}.{arm:x}")


def test_ten_thousand_invented_ids_move_nothing(home):
    worker = Worker(home, "a")
    forged = [{"request_id": f"nobody-{i}-1.{i % 2}", "outcome": i % 2} for i in range(10_000)]
    with pytest.raises(InvalidInput, match="was never issued by this endpoint for an answer of delay"):
        worker.feedback.take(worker.served, forged)
    worker.feedback.flush()
    assert worker.earned() == {"champion": (0, 0.0), "variant": (0, 0.0)}
    assert not (home / "feedback").exists()


def test_one_answer_earns_one_reward_whatever_rows_are_named(home):
    worker = Worker(home, "a")
    outcomes = [{"request_id": issued(0, 1), "row": row, "outcome": 1} for row in range(50)]
    with pytest.raises(InvalidInput, match="is not one of the request's 1"):
        worker.feedback.take(worker.served, outcomes)
    assert worker.earned()["variant"] == (0, 0.0)


def test_a_repeat_counts_once_on_any_worker_and_after_a_restart(home):
    one, other = Worker(home, "a"), Worker(home, "b")
    one.tell((issued(0, 1), 1), (issued(0, 1), 1), (issued(1, 0), 0))
    other.tell((issued(0, 1), 1), (issued(2, 1), 1))
    expected = {"champion": (1, 0.0), "variant": (2, 2.0)}
    assert (one.earned(), other.earned(), one.earned()) == (expected, expected, expected)
    one.feedback.close()
    again = Worker(home, "c")
    again.tell((issued(0, 1), 1))
    assert again.earned() == expected
    assert other.earned() == expected


def test_rewards_come_from_segments_closed_or_adopted_meanwhile(home):
    one, other = Worker(home, "a"), Worker(home, "b")
    one.tell((issued(0, 1), 1))
    assert other.earned()["variant"] == (1, 1.0)
    one.tell((issued(1, 1), 1))
    one.feedback.close()
    assert other.earned()["variant"] == (2, 2.0)
    assert other.earned()["variant"] == (2, 2.0)


def test_late_feedback_of_an_earlier_generation_earns_its_reward(home):
    worker = Worker(home, "a")
    assert worker.earned() == {"champion": (0, 0.0), "variant": (0, 0.0)}
    put_release(home, 2, variant=2)  # another version in the variant's place
    worker.look()
    worker.tell((issued(0, 0, 1), 1), (issued(1, 1, 1), 1), (issued(2, 1, 2), 1))
    assert worker.earned() == {
        "champion": (1, 1.0),
        "variant": (1, 1.0),
    }  # the old variant's reward is not the new one's
    put_release(home, 3)  # the old variant comes back
    worker.look()
    assert worker.earned() == {"champion": (1, 1.0), "variant": (1, 1.0)}
    assert Worker(home, "b").earned() == worker.earned()


def test_rewards_survive_a_disk_that_takes_nothing(home):
    worker = Worker(home, "a")
    (home / "feedback").mkdir()
    (home / "feedback" / "delay").write_text("in the way")
    worker.tell((issued(0, 1), 1))
    worker.tell((issued(1, 1), 1))
    assert worker.earned()["variant"] == (0, 0.0)
    (home / "feedback" / "delay").unlink()
    worker.feedback.flush()
    assert worker.earned()["variant"] == (2, 2.0)
    worker.feedback.close()
    assert worker.feedback.lost == 0


def test_what_waits_for_the_disk_is_bounded(home):
    worker = Worker(home, "a")
    (home / "feedback").write_text("in the way")
    for first in range(0, 100_000, 20_000):
        worker.tell(*((issued(place, 1), 1) for place in range(first, first + 20_000)))
    with pytest.raises(Overloaded):
        worker.tell((issued(100_000, 1), 1))
    worker.feedback.close()
    assert worker.feedback.lost == 100_000


def test_a_broken_book_is_set_aside_and_counted_anew(home):
    worker = Worker(home, "a")
    worker.tell((issued(0, 1), 1))
    assert worker.earned()["variant"] == (1, 1.0)
    (home / "rewards" / "delay.db").write_bytes(b"no database " * 1_000)
    worker.tell((issued(1, 1), 1))
    assert worker.earned()["variant"] == (2, 2.0)
    assert (home / "rewards" / "delay.broken").exists()


def test_a_reward_that_cannot_be_does_not_count(home):
    worker = Worker(home, "a")
    worker.tell((issued(0, 1), 0.5), (issued(1, 1), 1), (issued(2, 1), "yes"))
    assert worker.earned()["variant"] == (1, 1.0)
