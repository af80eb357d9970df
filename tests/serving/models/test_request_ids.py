"""Ids that only the endpoint can issue: no other id, row or model passes for one."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.models.request_ids import RequestIds, open_request_ids

IDS = RequestIds(b"a secret of this test")
MODEL, NUMBER, TAIL = "delay", "ab12cd34-1f-", "3.0"


@pytest.mark.parametrize("rows", [1, 2, 255, 10_000])
def test_an_issued_id_is_known_with_each_of_its_rows(rows):
    issued = IDS.issue(MODEL, NUMBER, rows, TAIL)
    assert issued.startswith(NUMBER)
    assert issued.endswith(f"-{TAIL}")
    assert len(issued) < 70
    assert IDS.find_problem(MODEL, issued, 0) is None
    assert IDS.find_problem(MODEL, issued, rows - 1) is None
    problem = IDS.find_problem(MODEL, issued, rows)
    assert problem is not None
    assert problem[0] == "row"


@pytest.mark.parametrize("rows", [1, 40])
def test_no_other_id_passes(rows):
    issued = IDS.issue(MODEL, NUMBER, rows, TAIL)
    changed = {issued[:at] + ("0" if char != "0" else "1") + issued[at + 1 :] for at, char in enumerate(issued)}
    next_one = IDS.issue(MODEL, "ab12cd34-20-", rows, TAIL)
    swapped = next_one.replace("-20-", "-1f-")
    for forged in (*changed, swapped, "nobody-1-1.0", "", "-", "ü-\u20ac-1.0", issued.upper(), f"{issued} ", "x" * 100):
        assert IDS.find_problem(MODEL, forged, 0) is not None, forged
    assert IDS.find_problem("another", issued, 0) is not None
    assert RequestIds(b"another secret").find_problem(MODEL, issued, 0) is not None


def test_no_id_names_more_rows_by_other_cuts():
    number, digest, tail = IDS.issue(MODEL, "w-1-", 1, "5.0").split("-", 1)[1].split("-")
    assert IDS.find_problem(MODEL, f"w-{number}-5.{digest}-0", 0) is not None
    rows, digest = IDS.issue(MODEL, "w-1-", 10, "5.0").split("-")[2].split(".")
    assert IDS.find_problem(MODEL, f"w-1-{digest}-{rows}.{tail}", 0) is not None


def test_a_cut_off_key_file_is_not_taken(tmp_path, caplog):
    (tmp_path / "key").write_bytes(b"")
    ids = open_request_ids(None, tmp_path / "key")
    assert RequestIds(b"").find_problem(MODEL, ids.issue(MODEL, NUMBER, 1, TAIL), 0) is not None
    assert "delete it to have another one made" in caplog.text


def test_the_same_name_gets_the_same_id():
    assert IDS.issue(MODEL, "s123-", 2, TAIL) == RequestIds(b"a secret of this test").issue(MODEL, "s123-", 2, TAIL)


def test_workers_that_start_together_make_one_secret(tmp_path):
    file = tmp_path / "home" / "request-ids.key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: open_request_ids(None, file), range(32)))
    issued = made[0].issue(MODEL, NUMBER, 1, TAIL)
    assert all(ids.find_problem(MODEL, issued, 0) is None for ids in made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_setting_goes_before_the_file(tmp_path):
    ids = open_request_ids("replicas share this", tmp_path / "key")
    assert ids.find_problem(MODEL, RequestIds(b"replicas share this").issue(MODEL, NUMBER, 1, TAIL), 0) is None
    assert not (tmp_path / "key").exists()
