"""Many tests at once."""

import pytest

from mlops_assets.domain.many_tests import holm


def test_holm_on_known_numbers():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
