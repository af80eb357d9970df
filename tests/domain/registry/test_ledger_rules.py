"""The chain: what it proves, and who served when."""

from datetime import timedelta

import pytest

from mlops_assets.domain.registry.champions import champion_at, entry_in_force
from mlops_assets.domain.registry.ledger import (
    START,
    Draft,
    Entry,
    LedgerAction,
    check_chain,
    from_line,
    seal,
    to_line,
)
from tests.kit.samples import MOMENT, sample


def chain(*actions: LedgerAction, hours: tuple[float, ...] | None = None) -> list[Entry]:
    entries: list[Entry] = []
    for index, action in enumerate(actions):
        draft = sample(Draft, action=action, subject=str(index + 1), cause=f"cause {index}", numbers={"gain": 0.1})
        at = MOMENT + timedelta(hours=hours[index] if hours else index)
        entries.append(seal(draft, model="m", now=at, before=entries[-1] if entries else None))
    return entries


def lines(entries: list[Entry]) -> list[str]:
    return [to_line(entry) for entry in entries]


THREE = chain(LedgerAction.REGISTERED, LedgerAction.PROMOTED, LedgerAction.PROMOTED)


def test_entries_are_chained_and_come_back_as_they_were():
    assert [entry.previous for entry in THREE] == [START, THREE[0].hash, THREE[1].hash]
    assert [from_line(line) for line in lines(THREE)] == THREE
    assert check_chain(lines(THREE)) == []


@pytest.mark.parametrize(
    ("edit", "line", "what"),
    [
        (lambda rows: [rows[0].replace('"gain":0.1', '"gain":0.2'), *rows[1:]], 1, "was changed"),
        (lambda rows: [rows[0], rows[2]], 2, "has sequence 3"),
        (lambda rows: [rows[0], rows[2]], 2, "follows"),
        (lambda rows: [rows[1], rows[0], rows[2]], 1, "has sequence 2"),
        (lambda rows: [rows[0], "{half", rows[2]], 2, "cannot be read"),
        (lambda rows: [rows[0], rows[1].replace(":", ": ", 1), rows[2]], 2, "was changed"),
        (lambda rows: [rows[0], "[1]", rows[2]], 2, "cannot be read"),
    ],
)
def test_a_broken_chain_is_found_with_its_line(edit, line, what):
    problems = check_chain(edit(lines(THREE)))
    assert any(problem.line == line and what in problem.what for problem in problems)


def test_a_forged_entry_breaks_the_next_link():
    forged = seal(sample(Draft, action=LedgerAction.PROMOTED, subject="9"), model="m", now=MOMENT, before=THREE[0])
    problems = check_chain(lines([THREE[0], forged, THREE[2]]))
    assert [(problem.line, "follows" in problem.what) for problem in problems if "dated" not in problem.what] == [
        (3, True)
    ]


def test_a_remembered_head_reveals_entries_cut_off():
    assert check_chain(lines(THREE[:2])) == []
    assert "is missing" in check_chain(lines(THREE[:2]), heads={3: THREE[2].hash})[0].what
    assert "is another one" in check_chain(lines(THREE), heads={2: THREE[2].hash})[0].what
    assert check_chain(lines(THREE), heads={3: THREE[2].hash}) == []


def test_a_clock_that_goes_back_is_noted_and_time_is_not():
    later = seal(
        sample(Draft, action=LedgerAction.PROMOTED), model="m", now=MOMENT - timedelta(days=1), before=THREE[-1]
    )
    assert later.time == THREE[-1].time
    assert later.details["clock"] == "2013-06-30T12:00:00+00:00"
    assert check_chain(lines([*THREE, later])) == []


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        seal(sample(Draft), model="m", now=MOMENT.replace(tzinfo=None), before=None)


@pytest.mark.parametrize(
    ("hour", "champion", "server"),
    [
        (-1, None, None),
        (0, "1", "1"),  # before the first release, the champion is who answers
        (1, "2", "1"),  # a release of 1 was made at 0.5
        (2, "2", "3"),  # the release of the new one
        (3, "4", "4"),  # a rollback of the release is both
        (9, "5", "4"),  # a champion that is not released answers nobody
    ],
)
def test_who_served_follows_releases(hour, champion, server):
    history = [
        (LedgerAction.PROMOTED, "1", 0, {}),
        (LedgerAction.RELEASE, "1", 0.5, {"generation": "1"}),
        (LedgerAction.PROMOTED, "2", 1, {}),
        (LedgerAction.RELEASE, "3", 2, {"generation": "2"}),
        (LedgerAction.ROLLBACK, "4", 3, {"generation": "3"}),
        (LedgerAction.PROMOTED, "5", 4, {}),
        (LedgerAction.REGISTERED, "6", 5, {}),
    ]
    entries: list[Entry] = []
    for action, subject, at, details in history:
        draft = sample(Draft, action=action, subject=subject, details=details)
        now = MOMENT + timedelta(hours=at)
        entries.append(seal(draft, model="m", now=now, before=entries[-1] if entries else None))
    moment = MOMENT + timedelta(hours=hour)
    found = champion_at(entries, moment), entry_in_force(entries, moment)
    assert [entry and entry.subject for entry in found] == [champion, server]


def test_numbers_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="could not convert"):
        seal(sample(Draft, numbers={"gain": "much"}), model="m", now=MOMENT, before=None)
