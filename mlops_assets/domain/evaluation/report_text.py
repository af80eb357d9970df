"""Tells an evaluation report in Markdown, section by section, for asset metadata and the model card."""

from collections.abc import Iterable, Sequence

from mlops_assets.domain.evaluation.evidence import Interval, Stress
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.report import EvaluationReport
from mlops_assets.domain.markdown import cell, table
from mlops_assets.domain.verdict import Outcome, Verdict

_MARKS = {
    Outcome.PASS: "✓ pass",
    Outcome.FAIL: "✗ fail",
    Outcome.INCONCLUSIVE: "? inconclusive",
    Outcome.ERROR: "! error",
}


def markdown(report: EvaluationReport, verdicts: Sequence[Verdict] = ()) -> str:
    """The whole report; verdicts first where there are some."""
    told = {"Verdicts": verdict_table(verdicts)} if verdicts else {}
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in (told | sections(report)).items())


def sections(report: EvaluationReport) -> dict[str, str]:
    """Title → Markdown of each part that has something to say."""
    told = {
        "Scores": _scores(report),
        "Comparison": _comparison(report),
        "Slices": _slices(report),
        "Fairness": _fairness(report),
        "Calibration": _calibration(report),
        "Refit": _refit(report),
        "Robustness": _robustness(report),
        "Importance": _importance(report),
        "Serving": _serving(report),
    }
    return {title: text for title, text in told.items() if text}


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    return table(("gate", "outcome", "reason"), ((v.name, _MARKS[v.outcome], v.reason) for v in verdicts))


def _interval(interval: Interval | None) -> str | None:
    return None if interval is None else str(interval)


def _scores(report: EvaluationReport) -> str:
    names = list(dict.fromkeys(score.metric for score in report.scores))
    contenders = list(dict.fromkeys((score.contender, score.version) for score in report.scores))
    found = {(score.contender, score.metric): score.interval for score in report.scores}
    head = (
        "metric",
        *(name if version is None else f"{name} (version {version})" for name, version in contenders),
    )
    rows = [(_title(n, report), *(_interval(found.get((c, n))) for c, _ in contenders)) for n in names]
    independent = f"{report.blocks} blocks of rows that move together" if report.blocks else "rows taken as independent"
    whose = "" if report.evidence.refit is None else " The candidate's are those of models that had not learnt them."
    note = f"{report.rows} test rows, the same for all; {100 * report.level:.3g} % intervals, {independent}.{whose}"
    return f"{table([cell(h) for h in head], rows)}\n\n{note}"


def _title(name: str, report: EvaluationReport) -> str:
    arrow = "↑" if METRICS[name].higher_is_better else "↓"
    title = f"{METRICS[name].title} {arrow}"
    return f"**{title}**" if name == report.metric else title


def _comparison(report: EvaluationReport) -> str:
    evidence = report.evidence
    rivals = {"champion": evidence.champion, "anchor": evidence.anchor}
    rows = [
        (f"{name} (version {r.version})", _interval(r.gain) or r.problem) for name, r in rivals.items() if r.version
    ]
    rows += [(name, _interval(gain)) for name, gain in evidence.baselines.items()]
    if not rows:
        return ""
    found = table(("candidate against", f"gain in {METRICS[report.metric].title}, same rows"), rows)
    notes = [f"{name}: on {rival.basis}." for name, rival in rivals.items() if rival.basis]
    return "\n\n".join([found, *notes])


def _slices(report: EvaluationReport) -> str:
    if not report.slices:
        return ""
    rows = [
        (s.name, s.rows, _interval(s.score), _interval(s.gain), s.problem or _few(s.rows, s.minimum))
        for s in report.slices
    ]
    return table(("slice, worst first", "rows", METRICS[report.metric].title, "gain over champion", "note"), rows)


def _few(rows: int, minimum: int) -> str:
    return f"under {minimum} rows: nothing concluded" if rows < minimum else ""


def _fairness(report: EvaluationReport) -> str:
    fairness = report.evidence.fairness
    if not fairness.groups and not fairness.unmeasured:
        return ""
    groups = table(
        (
            "attribute",
            "group",
            "rows",
            "selection rate",
            "true positive rate",
            "false positive rate",
            "calibration error",
        ),
        (
            (
                g.attribute,
                g.group,
                g.rows,
                g.selection_rate,
                g.true_positive_rate,
                g.false_positive_rate,
                g.calibration_error,
            )
            for g in fairness.groups
        ),
    )
    largest = table(
        ("attribute", "difference of", "largest", "limit", "between", "left out"),
        (
            (
                d.attribute,
                d.measure,
                str(d.difference),
                d.limit,
                f"{d.lowest} and {d.highest}",
                ", ".join(d.left_out),
            )
            for d in fairness.disparities
        ),
    )
    problems = "\n".join(f"- {cell(problem)}" for problem in fairness.unmeasured)
    return "\n\n".join(text for text in (groups, largest if fairness.disparities else "", problems) if text)


def _calibration(report: EvaluationReport) -> str:
    found = report.reliability
    line = "" if found.slope is None else f" Slope {found.slope:.3f}, intercept {found.intercept:.3f} (ideal: 1 and 0)."
    rows = ((b.rows, b.predicted, b.observed, b.low, b.high) for b in found.bins)
    return f"Calibration error {found.error}.{line}\n\n" + table(("rows", "predicted", "observed", "low", "high"), rows)


def _refit(report: EvaluationReport) -> str:
    found = report.evidence.refit
    if found is None:
        return ""
    rows = [
        (f"gain in {METRICS[report.metric].title} over the last fold's model", _interval(found.gain) or found.problem),
        ("gain in squared error", _interval(found.error_gain)),
        ("mean answer against mean outcome", found.shift),
        ("the same of the last fold's model", found.shift_before),
    ]
    note = f"The model that is served, on the {found.rows} rows of the last fold, which it has learnt."
    return f"{note}\n\n{table(('what', 'measured'), rows)}"


def _robustness(report: EvaluationReport) -> str:
    found = report.evidence.robustness
    if found is None:
        return ""
    head = ("input", METRICS[report.metric].title, "loss", "answers that are no number")
    spoilt = table(head, [("as it came", found.unspoilt, 0.0, 0), *map(_stress, found.stresses)])
    gone = table(("column missing, worst first", *head[1:]), map(_stress, found.outages[:10]))
    learnt = "" if report.evidence.refit is None else ", which the served model has learnt: what counts is the loss"
    return f"On {found.rows} rows{learnt}.\n\n{spoilt}\n\n{gone}"


def _stress(stress: Stress) -> tuple[object, ...]:
    return stress.name, stress.score, stress.loss, stress.non_finite


def _importance(report: EvaluationReport) -> str:
    rows = ((found.name, str(found.loss)) for found in report.importance)
    return table(("column", f"loss of {METRICS[report.metric].title} when shuffled"), rows)


def _serving(report: EvaluationReport) -> str:
    served, evidence = report.served, report.evidence
    limit = evidence.latency.limit if evidence.latency else None
    rows = [
        (f"one row, {served.precision}", f"{served.single_row_ms:.3f} ms", f"{cell(limit)} ms"),
        ("a batch", f"{served.batch_ms:.3f} ms", None),
        ("size", f"{served.bytes / 1024:.0f} KiB", None),
    ]
    rows += [(m.where, f"{m.value:.2g}", f"{m.limit:g}") for m in evidence.parity]
    return table(("what", "measured", "limit"), rows)
