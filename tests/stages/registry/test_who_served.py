"""The command, on a real ledger."""

import json

import pytest

from mlops_assets import who_served
from tests.kit.daily import MODEL, Shop


@pytest.fixture
def home(shop: Shop, tmp_path, monkeypatch):
    made = shop.copy(shop.registered, tmp_path)
    monkeypatch.setenv("MLOPS_HOME", str(made.home))
    return made.home


def test_it_tells_who_answers_now_and_one_request(home, capsys):
    assert who_served.main([MODEL]) == 0
    assert "champion: 1.0.0 (version 1), 100%" in capsys.readouterr().out
    assert who_served.main([MODEL, "--request", "ab-0-1.0"]) == 0
    assert "routed to champion, 1.0.0" in capsys.readouterr().out
    assert who_served.main([MODEL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entry"]["action"] == "promoted"


@pytest.mark.parametrize(
    ("given", "told"), [(["2001-01-01"], "nothing was released by 2001"), (["--request", "x"], "no request")]
)
def test_where_nobody_answered_it_says_so(home, capsys, given, told):
    assert who_served.main([MODEL, *given]) == 1
    assert told in capsys.readouterr().err


def test_a_ledger_that_was_edited_is_not_believed(home, capsys):
    file = home / "ledger" / f"{MODEL}.jsonl"
    file.write_text(file.read_text().replace("passed every gate", "was nice"))
    assert who_served.main([MODEL]) == 2
    assert "was changed" in capsys.readouterr().err
