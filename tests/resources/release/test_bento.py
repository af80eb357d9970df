"""What a build that was killed leaves behind, and what the next one makes of it."""

from pathlib import Path

from mlops_assets.resources.release.bento import Bentos
from tests.serving.graphs import contract, make_bundle, number

PROJECT = Path(__file__).parents[3]


def test_half_a_bento_of_a_killed_build_is_replaced(tmp_path):
    bundle = tmp_path / "bundles" / make_bundle(tmp_path / "bundles", contract([number("price")]))
    half = tmp_path / "bentos" / "bentos" / "shop" / "1.0.0" / "src"
    half.mkdir(parents=True)
    (half / "left").write_text("over")
    bentos = Bentos(home=str(tmp_path / "bentos"), project=str(PROJECT))
    made = bentos.build(bundle, model="shop", version="1.0.0")
    assert made.tag == "shop:1.0.0"
    assert not (made.path / "src" / "left").exists()
    assert bentos.build(bundle, model="shop", version="1.0.0") == made
    assert [each.name for each in (tmp_path / "bentos").iterdir() if each.name.startswith(".making")] == []
