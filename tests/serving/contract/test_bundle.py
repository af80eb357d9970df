"""The bundle folder: written once, verified whenever it is opened."""

import json
from pathlib import Path

import numpy as np
import pytest

from serving.contract.bundle import (
    CARD,
    FILES,
    GOLDEN,
    MANIFEST,
    MODEL,
    PROFILE,
    Bundle,
    CorruptBundleError,
    ProviderError,
    open_bundle,
    write_bundle,
)
from serving.contract.fields import Contract
from tests.kit.bundles import tiny_bundle, tiny_contract


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(tiny_bundle(tmp_path, "one"))


def files_of(bundle: Bundle) -> dict[str, bytes]:
    return {name: (bundle.path / name).read_bytes() for name in FILES}


def test_the_name_is_the_content(bundle: Bundle, tmp_path: Path) -> None:
    files = files_of(bundle)
    elsewhere = tmp_path / "elsewhere"

    assert write_bundle(elsewhere, dict(reversed(files.items()))) == bundle.digest
    assert write_bundle(elsewhere, {**files, CARD: b"another"}) != bundle.digest


def test_a_second_write_changes_nothing(bundle: Bundle) -> None:
    before = {path: path.stat().st_mtime_ns for path in bundle.path.iterdir()}

    assert write_bundle(bundle.path.parent, files_of(bundle)) == bundle.digest
    assert {path: path.stat().st_mtime_ns for path in bundle.path.iterdir()} == before
    assert [path.name for path in bundle.path.parent.iterdir()] == [bundle.digest]


def test_a_bundle_has_exactly_its_files(bundle: Bundle, tmp_path: Path) -> None:
    files = {**files_of(bundle), "notes.txt": b""}
    del files[GOLDEN]

    with pytest.raises(ValueError, match=r"absent: \['golden.json'\]; unknown: \['notes.txt'\]"):
        write_bundle(tmp_path, files)


def test_every_mismatch_is_told_at_once(bundle: Bundle) -> None:
    (bundle.path / MODEL).write_bytes(b"broken")
    (bundle.path / PROFILE).unlink()
    (bundle.path / "stray").touch()

    with pytest.raises(CorruptBundleError) as caught:
        open_bundle(bundle.path)

    for problem in (
        "model.onnx: content is",
        "profile.json: absent",
        "stray: does not belong here",
        "rebuild it",
    ):
        assert problem in str(caught.value)


def test_a_manifest_under_a_wrong_name_is_detected(bundle: Bundle) -> None:
    renamed = bundle.path.rename(bundle.path.parent / ("0" * 64))

    with pytest.raises(CorruptBundleError, match="not the one it was named by"):
        open_bundle(renamed)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b'"text"'])
def test_a_broken_manifest_is_found(bundle: Bundle, content: bytes) -> None:
    (bundle.path / MANIFEST).write_bytes(content)

    with pytest.raises(CorruptBundleError, match=r"manifest\.json"):
        open_bundle(bundle.path)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(CorruptBundleError, match=r"no manifest\.json"):
        open_bundle(tmp_path)


def test_a_corrupt_bundle_is_not_written_over(bundle: Bundle) -> None:
    files = files_of(bundle)
    (bundle.path / CARD).write_bytes(b"broken")

    with pytest.raises(CorruptBundleError, match=r"model_card\.md"):
        write_bundle(bundle.path.parent, files)


def test_a_contract_survives_json() -> None:
    assert Contract.from_json(tiny_contract().to_json()) == tiny_contract()
    assert tiny_contract().numbers == ("distance",)
    assert tiny_contract().categories == ("carrier",)


def test_a_contract_of_another_format_is_refused() -> None:
    record = {**json.loads(tiny_contract().to_json()), "format": 99}

    with pytest.raises(ValueError, match="contract of format 99; this reader knows format 1"):
        Contract.from_json(json.dumps(record).encode())


def test_it_predicts(bundle: Bundle) -> None:
    answers = bundle.predict(np.array([[0.25], [np.nan]]), np.array([["AA"], [""]], dtype=object))

    np.testing.assert_allclose(answers, [0.25, 0.0])
    assert bundle.card == "# one\n"
    assert bundle.profile == {}


def with_golden(bundle: Bundle, answer: float) -> Bundle:
    request = {"name": "short", "row": {"distance": 0.5, "carrier": None}, "answer": answer}
    golden = {"absolute": 0.01, "relative": 0.0, "requests": [request]}
    files = {**files_of(bundle), GOLDEN: json.dumps(golden).encode()}
    return open_bundle(bundle.path.parent / write_bundle(bundle.path.parent, files))


@pytest.mark.parametrize(("answer", "problems"), [(0.5, 0), (0.509, 0), (0.52, 1)])
def test_golden_answers(bundle: Bundle, answer: float, problems: int) -> None:
    found = with_golden(bundle, answer).check_golden()

    assert len(found) == problems
    assert all("golden request 0 (short): answered 0.5" in problem for problem in found)


def test_a_session_says_where_it_runs(bundle: Bundle) -> None:
    assert bundle.session("cpu").provider == "cpu"
    with pytest.raises(ValueError, match="provider is 'tpu'"):
        bundle.session("tpu")


def test_auto_is_quiet_where_there_is_no_gpu(bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    provider = bundle.session("auto").provider

    assert provider == "cuda" or capfd.readouterr() == ("", "")


def test_cuda_is_never_silently_something_else(bundle: Bundle) -> None:
    if bundle.session("auto").provider == "cuda":
        assert bundle.session("cuda").provider == "cuda"
        return
    for asked in ("cuda", "tensorrt"):
        with pytest.raises(ProviderError, match=f"{asked} was asked for, but onnxruntime started CPUExecutionProvider"):
            bundle.session(asked)
