"""Who is champion by the ledger: at a moment, before the present one, and who was taken down. Touches no files."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from mlops_assets.domain.registry.ledger import Entry, LedgerAction

REPLACED = "replaced"  # the detail that names the version which lost its place or its traffic
_EVER = datetime.max.replace(tzinfo=UTC)
_CHAMPION_MADE = (LedgerAction.PROMOTED, LedgerAction.ROLLBACK, LedgerAction.OVERRIDE)


def champion_at(entries: Iterable[Entry], moment: datetime = _EVER) -> Entry | None:
    """The entry that made the champion of that moment; None before the first promotion. Default: the present one."""
    return max(
        (entry for entry in entries if entry.action in _CHAMPION_MADE and entry.time <= moment),
        key=lambda entry: entry.sequence,
        default=None,
    )


def holds_release(entry: Entry) -> bool:
    """True where the entry's details tell which versions answer from then on."""
    return "generation" in entry.details


def entry_in_force(entries: Sequence[Entry], moment: datetime) -> Entry | None:
    """The entry that says which versions answered at that moment: the latest that holds a release.

    Before the first release, the champion answered. What has no generation, such as a new champion that is not yet
    released, changes nothing for users.
    """
    released = [entry for entry in entries if holds_release(entry) and entry.time <= moment]
    return max(released, key=lambda entry: entry.sequence) if released else champion_at(entries, moment)


def stack_champions(entries: Sequence[Entry]) -> list[str]:
    """The champions that stand one on the other; a rollback takes down what stood above its target."""
    reign: list[str] = []
    for entry in entries:
        if entry.action is LedgerAction.ROLLBACK and entry.subject in reign:
            del reign[reign.index(entry.subject) + 1 :]
        elif entry.action in (LedgerAction.PROMOTED, LedgerAction.ROLLBACK) and entry.subject not in reign[-1:]:
            reign.append(entry.subject)
    return reign


def find_earlier_champion(model: str, entries: Sequence[Entry], to: str | None = None) -> str:
    """The version to go back to: `to`, or the champion before. Only one that was champion before."""
    reign = stack_champions(entries)
    before = sorted({entry.subject for entry in entries if entry.action is LedgerAction.PROMOTED}, key=int)
    target = to or (reign[-2] if len(reign) > 1 else None)
    if target is None or target not in before or target == reign[-1]:
        raise LookupError(
            f"{model} cannot go back to version {target or '(the one before)'}: the champion is "
            f"{reign[-1] if reign else 'none'} and versions promoted so far are {', '.join(before) or 'none'}"
        )
    return target


def was_taken_down(entries: Iterable[Entry], number: str) -> bool:
    """True where the last word on a version was a rollback away from it: a person may promote it again."""
    down = False
    for entry in entries:
        if entry.subject == number and entry.action in _CHAMPION_MADE:
            down = False
        elif entry.action is LedgerAction.ROLLBACK and entry.details.get(REPLACED) == number:
            down = True
    return down


def was_promoted(entries: Iterable[Entry], number: str) -> bool:
    return any(e.action is LedgerAction.PROMOTED and e.subject == number for e in entries)
