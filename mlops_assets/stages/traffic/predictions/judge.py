"""Judges what a run brought into the lake: known versions, each row once, the whole log. Reads registry and ledger."""

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.traffic.answer_tally import judge_completeness, judge_repeats, judge_versions
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.traffic.predictions.collect import CompactedLogs


def judge_logs(spec: ModelSpec, compacted: CompactedLogs, registry: Registry, ledger: Ledger) -> list[Verdict]:
    """One verdict for each check of the asset."""
    whole = [each for day in compacted.days.values() for each in day.values()]
    rows = sum(each.snapshot.rows for each in whole)
    missing = sum(each.missing for each in whole)
    problems = dict.fromkeys(problem for each in whole for problem in each.problems)
    return [
        _judge_versions(spec, compacted, registry, ledger),
        judge_repeats(rows, sum(each.read_back for each in whole)),
        judge_completeness(missing, rows, list(problems), list(compacted.findings.values())),
    ]


def _judge_versions(spec: ModelSpec, compacted: CompactedLogs, registry: Registry, ledger: Ledger) -> Verdict:
    registered = [(each.number, each.semantic, each.bundle) for each in registry.versions(spec.model)]
    entries = "\n".join(text for entry in ledger.entries(spec.model) for text in entry.details.values())
    bundles = compacted.tally.bundles
    return judge_versions(bundles, registered, [bundle for _, bundle in bundles if bundle in entries])
