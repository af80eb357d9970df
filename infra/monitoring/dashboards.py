"""Grafana's dashboards, from one description: `python -m infra.monitoring.dashboards` writes their JSON.

A panel says what it asks and in which unit; everything else is the same for all of them. A test compares the
metrics that panels ask for with those that a real endpoint exports.
"""

import json
from pathlib import Path
from typing import Any

from infra.monitoring.endpoint_board import BOARD, Board, Panel

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24

BOARDS = (BOARD,)


def expressions(board: Board) -> list[str]:
    """Every PromQL that the board asks."""
    return [query for _, panels in board.rows for panel in panels for query, _ in panel.queries]


def document(board: Board) -> dict[str, Any]:
    """The board as Grafana imports it."""
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["mlops"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_variable()]},
        "annotations": {"list": [_releases()]},
        "panels": _laid_out(board),
    }


def text(board: Board) -> str:
    return json.dumps(document(board), indent=1) + "\n"


def _variable() -> dict[str, Any]:
    return {
        "name": "model", "type": "query", "datasource": SOURCE, "query": "label_values(endpoint_generation, model)",
        "includeAll": True, "allValue": ".*", "multi": True, "refresh": 2, "sort": 1,
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def _releases() -> dict[str, Any]:
    """A line where a generation took another's place."""
    return {
        "name": "Releases", "datasource": SOURCE, "enable": True, "iconColor": "blue",
        "expr": "max by (model) (changes(endpoint_generation[1m])) > 0", "titleFormat": "{{model}}: new generation",
    }  # fmt: skip


def _laid_out(board: Board) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in board.rows:
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "panels": []})
        for number, panel in enumerate(row):
            x, y = number * _WIDTH % _COLUMNS, top + 1 + number * _WIDTH // _COLUMNS * _HEIGHT
            panels.append(_panel(panel, len(panels) + 1, {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y}))
        top += 1 + -(-len(row) * _WIDTH // _COLUMNS) * _HEIGHT
    return panels


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    style = {} if panel.limit is None or panel.kind == "stat" else {"custom": {"thresholdsStyle": {"mode": "line"}}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, **style},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        path = FOLDER / f"{board.uid}.json"
        path.write_text(text(board), encoding="utf-8")
        print(f"wrote {path.name}: {len(expressions(board))} queries")


if __name__ == "__main__":
    main()
