"""Rules, dashboard and runbook: valid, tested, about series that exist, and each alert with its section."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.monitoring.dashboards import BOARDS, FOLDER, document, expressions, text
from mlops_assets.domain.alerts.alerting import AlertKind
from mlops_assets.resources.alerts.prometheus import UNREACHABLE
from tests.conftest import PROJECT
from tests.project.metrics_text import asked

MONITORING = PROJECT / "infra" / "monitoring"
RECORDING, ALERTS = MONITORING / "rules" / "recording.yml", MONITORING / "rules" / "alerts.yml"


def rules(path: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


ALERT_NAMES = [rule["alert"] for rule in rules(ALERTS)]


def anchors() -> set[str]:
    """Sections of the runbook as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", (PROJECT / "infra" / "docs" / "runbook.md").read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def promtool(*arguments: str, cwd: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.needs_prometheus
def test_prometheus_understands_configuration_and_rules():
    checked = promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.needs_prometheus
def test_the_rules_pass_their_unit_tests():
    tested = promtool("test", "rules", "rules_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.needs_prometheus
@pytest.mark.parametrize(
    ("broken", "where"),
    [({"expr": "vector(1) > 2"}, "exp"), ({"keep_firing_for": "30d"}, "got")],
    ids=["never fires", "never ends"],
)
def test_the_unit_tests_would_notice_an_alert_that(tmp_path, broken, where):
    """Each alert is expected somewhere; and somewhere it would be one too many if it did not end."""
    document = yaml.safe_load(ALERTS.read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            rule.update(broken)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "alerts.yml").write_text(yaml.safe_dump(document))
    for path in (RECORDING, MONITORING / "rules_test.yml"):
        (tmp_path / path.relative_to(MONITORING)).write_text(path.read_text())
    tested = promtool("test", "rules", "rules_test.yml", cwd=tmp_path)
    assert {name for name, side in differences(tested.stdout + tested.stderr) if side == where} == set(ALERT_NAMES)


def differences(said: str) -> set[tuple[str, str]]:
    """Alerts that were expected and not got ("exp"), or got and not expected ("got")."""
    found: set[tuple[str, str]] = set()
    for expected, got in re.findall(r"exp: (.*)\n +got: (.*)", said):
        sides = {"exp": _names(expected) - _names(got), "got": _names(got) - _names(expected)}
        found |= {(name, side) for side, names in sides.items() for name in names}
    return found


def _names(line: str) -> set[str]:
    return set(re.findall(r'alertname="(\w+)"', line))


@pytest.mark.parametrize("rule", rules(ALERTS), ids=ALERT_NAMES)
def test_an_alert_says_how_bad_what_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "action", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "infra/docs/runbook.md"
    assert anchor in anchors()


def test_the_pipelines_own_alerts_have_their_sections():
    assert {*AlertKind, UNREACHABLE} <= anchors()


def test_links_inside_the_runbook_lead_somewhere():
    links = re.findall(r"\]\(#([^)]+)\)", (PROJECT / "infra" / "docs" / "runbook.md").read_text())
    assert set(links) <= anchors()


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_dashboard_on_disk_is_the_one_described(board):
    assert (FOLDER / f"{board.uid}.json").read_text() == text(board), "run python -m infra.monitoring.dashboards"


def test_no_dashboard_is_left_over():
    assert {path.stem for path in FOLDER.iterdir()} == {board.uid for board in BOARDS}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_panels_have_their_own_place_and_number(board):
    panels = document(board)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert json.loads(text(board)) == document(board)


def test_provisioning_names_the_source_that_panels_ask():
    source = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())
    panels = [panel for board in BOARDS for panel in document(board)["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["datasources"][0]["uid"]}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_recorded_series_that_panels_ask_for_are_recorded(board):
    recorded = {rule["record"] for rule in rules(RECORDING)}
    assert {name for query in expressions(board) for name in asked(query) if ":" in name} <= recorded


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('sum by (model, le) (rate(a_bucket{le="0.1", x=~"b|c"}[5m]))', {"a_bucket"}),
        ("histogram_quantile(0.95, m:x:rate5m) > 1e-9 and b or 0 * c", {"m:x:rate5m", "b", "c"}),
        ("1000 * min by (model) (d{model=~\"$model\"}) offset 5m", {"d"}),
        ("e / on (model) group_left (version) f", {"e", "f"}),
        ('absent(up{job="x"})', {"up"}),
    ],
)  # fmt: skip
def test_names_are_found_in_promql(expression, expected):
    assert {name for name in asked(expression) if name != "m"} == expected
