"""The card holds what a person asks for, and no value can break it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from markdown_it import MarkdownIt

from mlops_assets.declaration.evaluation import FairnessSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import Precision
from mlops_assets.domain.records import (
    Compressed,
    Evaluation,
    FoldScore,
    Inputs,
    ServingModel,
    TrainedModel,
    TrainingSet,
)
from mlops_assets.domain.registry.model_card import Registration, bundle_card, code, model_card, prose, text
from mlops_assets.domain.registry.versions import CandidateRecords, VersionChange, VersionInfo, next_version
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.kit.samples import MOMENT, facts, made_of, sample

HOSTILE = [
    "<script>alert(1)</script>",
    "a | b | c",
    "`code` `",
    "``` \n# heading",
    "[click](javascript:alert(1))",
    "![x](http://evil/x.png)",
    "line\nbreak\r\n| new | row |",
    "\\| \\` \\",
    "<!-- -->",
    "&lt;b&gt;",
    "**bold** __under__ ~~gone~~",
    "# title",
    "- item",
    "1. item",
    "1) item",
    "===",
    "---",
    "> quote",
    "\x00\x1b[31mred\u202e",
    "http://evil/<b>",
    "<http://evil>",
    "    indented code",
    "a\u2028# b",
    "![[nested](x)](y)",
]
SPEC = sample(
    ModelSpec,
    model="flight_delay",
    purpose="Will it land late?\n\nAsked at scheduling.",
    limits="New York only.",
    ethics="None of a person.",
    owner="team:flights",
    fairness=sample(FairnessSpec, attributes=("sex",)),
)
SET = sample(
    TrainingSet,
    digest="t" * 64,
    entity=("origin",),
    inputs=Inputs(("distance",), ("carrier",)),
    rows={"train": 1000, "test": 200},
    boundaries={"train": (MOMENT, MOMENT)},
)
SERVING = sample(ServingModel, precision=Precision.INT8, measured=(sample(Compressed, precision=Precision.INT8),))


VERDICTS = (Verdict("gain", Outcome.PASS, "better by 0.01", {"gain": 0.01}),)
RECORDS = CandidateRecords(
    SET,
    sample(TrainedModel, parameters={"width": 8}, run_id="run7"),
    SERVING,
    sample(Evaluation, metric="auc", score=0.7101, interval=(0.70, 0.72), champion="1", verdicts=VERDICTS),
)


def registration(**given) -> Registration:
    previous = sample(VersionInfo, semantic="1.0.0", facts=facts(), metric="auc", score=0.68, training_set="old")
    known = {
        "bump": next_version(facts(service="flight_delay_v2"), facts(), "1.0.0"),
        "previous": previous,
        "provenance": made_of("b" * 64),
        "sections": {"Slices": "# Worst\n\n| slice | auc |\n|---|---|\n| EWR | 0.69 |\n\np < 0.05 <img src=x>"},
    }
    return Registration(**{**known, **given})


def full(**given) -> str:
    return model_card(SPEC, facts(), RECORDS, registration(**given))


def test_the_card_holds_every_section_and_number():
    card = full()
    heads = (
        "Data",
        "Features",
        "Training",
        "Evaluation",
        "Serving contract",
        "Limits",
        "Ethical notes",
        "Changes",
    )
    assert [head for head in (*heads, "How to make it again") if f"## {head}\n" not in card] == []
    for part in (
        "flight\\_delay 1.1.0",
        "0.7101",
        "0.7000 to 0.7200",
        "better by 0.01",
        "1,000",
        "`origin`",
        "`sex`",
        "run7",
    ):
        assert part in card, part
    assert "feature service: flight\\_delay\\_v1 → flight\\_delay\\_v2" in card
    assert "auc 0.6800 → auc 0.7101" in card


def test_the_card_says_until_when_the_weights_have_learnt():
    folds = (FoldScore(900, MOMENT, 100, MOMENT, MOMENT, 0.7), FoldScore(1000, MOMENT, 100, MOMENT, MOMENT, None))
    trained = replace(RECORDS.trained, learnt=1200, learnt_until=MOMENT, folds=folds)

    card = model_card(SPEC, facts(), replace(RECORDS, trained=trained), registration())

    assert f"The weights have learnt 1,200 rows, the latest of {MOMENT:%Y-%m-%d %H:%M} UTC." in card
    assert "| 900 | 100 |" in card
    assert "| 0.7000 |" in card
    assert "| none |" in card
    assert "Models that scored the test rows" not in full()


def test_report_sections_follow_the_card_without_html():
    rendered = MarkdownIt("commonmark").enable("table").render(full())
    assert "<h4>Worst</h4>" in rendered
    assert "<td>EWR</td>" in rendered
    assert "<img" not in rendered
    assert "p &lt; 0.05" in rendered


def test_a_bundles_card_depends_on_content_only():
    one = bundle_card(SPEC, SET, sample(TrainedModel, run_id="a"))
    two = bundle_card(SPEC, replace(SET, as_of=MOMENT + timedelta(days=1)), sample(TrainedModel, run_id="b"))
    assert one == two
    assert "see the card of the registered version" in one
    assert [
        head for head in ("Data", "Features", "Training", "Limits", "Ethical notes") if f"## {head}\n" not in one
    ] == []


def test_a_first_version_has_no_changes():
    first = full(bump=next_version(facts(), None, None), previous=None)
    assert "The first version." in first
    assert next_version(facts(), None, None).change is VersionChange.FIRST


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_brings_in_markup(value):
    md = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for shown in (text(value), code(value)):
        cell = md.render(f"| a | b |\n|---|---|\n| {shown} | end |\n")
        assert cell.count("<td>") == 2, cell
        assert "<td>end</td>" in cell
        plain = cell.replace("<code>", "").replace("</code>", "")
        assert not any(tag in plain for tag in ("<script", "<a ", "<img", "<em>", "<strong>", "<b>", "<s>", "<h1")), (
            cell
        )
    alone = md.render(f"before\n\n{prose(value)}\n\nafter\n")
    assert not any(
        tag in alone
        for tag in (
            "<script",
            "<a ",
            "<img",
            "<em>",
            "<strong",
            "<h1",
            "<h2",
            "<ul",
            "<ol",
            "<block",
            "<pre",
            "<hr",
        )
    )


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_declarations_keep_the_shape_of_the_card(value):
    spec = SPEC.with_changes(purpose=value, owner=value, limits=value, ethics=value)
    trained = sample(TrainedModel, parameters={value: value, "width": 8}, metric=value, run_id=value)
    shape = [token.tag for token in _tokens(full()) if token.tag in ("h1", "h2", "h3", "table")]
    hostile = model_card(spec, facts(classes=(value, "1")), replace(RECORDS, trained=trained), registration())
    assert [token.tag for token in _tokens(hostile) if token.tag in ("h1", "h2", "h3", "table")] == shape


def _tokens(card: str):
    return MarkdownIt("commonmark").enable("table").parse(card)
