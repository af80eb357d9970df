"""The command that tells which version answered: `python -m mlops_assets.who_served MODEL [MOMENT | --request ID]`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from mlops_assets.declaration.values import moment
from mlops_assets.defs.resources import resources
from mlops_assets.domain.registry.ledger import Entry
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.served_by import (
    UnknownRequestError,
    describe_release,
    find_release_at,
    find_release_of_request,
)
from mlops_assets.resources.registry.ledger import Ledger, LedgerBrokenError


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where somebody answered, 1 where nobody did, 2 where the ledger cannot be believed."""
    options = _parser().parse_args(arguments)
    ledger: Ledger = resources()["ledger"]
    try:
        entries = ledger.entries(options.model)
    except LedgerBrokenError as err:
        print(err, file=sys.stderr)
        return 2
    try:
        release = _find_release(entries, options)
    except UnknownRequestError as err:
        print(f"{options.model}: {err}", file=sys.stderr)
        return 1
    if release is None:
        print(f"{options.model}: nothing was released by {options.moment:%F %T %Z}", file=sys.stderr)
        return 1
    print(_json(*release) if options.json else "\n".join(describe_release(*release)))
    return 0


def _find_release(entries: Sequence[Entry], options: argparse.Namespace) -> tuple[ReleaseState, Entry] | None:
    if options.request is None:
        return find_release_at(entries, options.moment)
    state, arm, entry = find_release_of_request(entries, options.request)
    if not options.json:
        print(f"routed to {arm.name}, {arm.version} (version {arm.number})")
    return state, entry


def _json(state: ReleaseState, entry: Entry) -> str:
    return json.dumps({**asdict(state), "entry": asdict(entry)}, default=str, indent=2, sort_keys=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="who_served", description="Which version of a model answered, and why.")
    parser.add_argument("model")
    parser.add_argument(
        "moment",
        nargs="?",
        type=moment,
        default=datetime.max.replace(tzinfo=UTC),
        help="ISO time in the model's own time, such as 2013-10-01T12:00; without a zone it is UTC. Default: now.",
    )
    parser.add_argument("--request", metavar="ID", help="The id that came with an answer, instead of a moment.")
    parser.add_argument("--json", action="store_true", help="Everything, as JSON.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
