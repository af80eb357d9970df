"""The release in force as the ledger tells it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.registry.ledger import Draft, Entry, LedgerAction, seal
from mlops_assets.domain.release.release_state import (
    find_release_in_force,
    read_release_state,
    release_details,
    who_served,
)
from tests.kit.rollout_log import OPENED, release_state
from tests.kit.samples import sample

HOUR = timedelta(hours=1)


def entered(*drafts: Draft) -> list[Entry]:
    entries: list[Entry] = []
    for hours, draft in enumerate(drafts):
        now = OPENED + hours * HOUR
        entries.append(seal(draft, model="delay", now=now, before=entries[-1] if entries else None))
    return entries


def draft(action: LedgerAction = LedgerAction.RELEASE, details: Mapping[str, str] = {}) -> Draft:
    return sample(Draft, action=action, actor="ann", details=dict(details))


def test_a_release_survives_its_ledger_entry():
    release = replace(release_state(fallback="e" * 64), frozen=True, bento="delay:1.1.0")
    (entry,) = entered(draft(details=release_details(release)))
    assert read_release_state(entry) == replace(release, sequence=1, actor="ann")


def test_the_latest_entry_with_a_release_is_in_force():
    entries = entered(
        draft(LedgerAction.PROMOTED, {"bundle": "x"}),
        draft(details=release_details(release_state(generation=1))),
        draft(details=release_details(release_state(generation=2))),
        draft(LedgerAction.PROMOTED, {"bundle": "y"}),
    )
    found = find_release_in_force(entries)
    assert found is not None
    assert (found.generation, found.sequence) == (2, 3)
    assert find_release_in_force(entries[:1]) is None


def test_who_served_at_any_moment():
    entries = entered(
        draft(LedgerAction.PROMOTED), *(draft(details=release_details(release_state(generation=g))) for g in (1, 2))
    )
    moments = [OPENED + h * HOUR for h in (0, 1, 1.5, 2, 9)]
    found = [who_served(entries, moment) for moment in moments]
    assert [each and each.generation for each in found] == [None, 1, 1, 2, 2]


@pytest.mark.parametrize("broken", [{"arms": "[]x"}, {"strategy": "guess"}, {"opened_at": "soon"}])
def test_an_entry_with_half_a_release_is_refused(broken):
    (entry,) = entered(draft(details={**release_details(release_state()), **broken}))
    with pytest.raises(ValueError, match="entry 1: holds no whole release"):
        find_release_in_force([entry])


def test_arms_by_role_and_the_tails_of_their_requests():
    release = release_state(generation=26)
    assert release.challenger is not None
    assert (release.champion.name, release.challenger.name) == ("champion", "canary")
    assert release.tails == {"champion": "-1a.0", "canary": "-1a.1"}
