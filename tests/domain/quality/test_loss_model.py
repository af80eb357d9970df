"""The loss of a regression on rows without labels."""

import numpy as np
import pytest

from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError
from mlops_assets.domain.quality.loss_model import estimate_loss, fit_loss_model


def rows(count: int, seed: int, low: float = 0.0):
    """The error grows with the one feature; the other says nothing and is missing at times."""
    draw = np.random.default_rng(seed)
    noisy, idle = draw.uniform(low, 1, count), np.where(draw.random(count) < 0.1, np.nan, draw.normal(size=count))
    predictions = 20 + 5 * draw.random(count)
    labels = predictions + draw.normal(0, 0.5 + 3 * noisy)
    return labels, predictions, np.column_stack([noisy, idle])


@pytest.mark.parametrize("metric", ["mae", "rmse", "rmsle"])
@pytest.mark.parametrize("low", [0.0, 0.7])
def test_the_loss_is_estimated_where_the_inputs_change(metric, low):
    model = fit_loss_model(metric, *rows(8_000, 0))
    labels, predictions, features = rows(4_000, 1, low)
    found = estimate_loss(model, predictions, features, level=0.95)
    real = METRICS[metric](labels, predictions)
    assert found.estimate == pytest.approx(real, rel=0.06)


@pytest.mark.parametrize("low", [0.0, 0.7])
def test_the_interval_covers_the_realised_loss(low):
    hits = 0
    for seed in range(60):
        model = fit_loss_model("mae", *rows(4_000, 1_000 + seed))
        labels, predictions, features = rows(2_000, seed, low)
        found = estimate_loss(model, predictions, features, level=0.95)
        hits += found.low < METRICS["mae"](labels, predictions) < found.high
    assert hits >= 53


def test_rows_unlike_any_before_get_a_known_loss():
    model = fit_loss_model("mae", *rows(8_000, 0))
    _, predictions, features = rows(500, 1)
    found = estimate_loss(model, predictions * 1e6, features * 1e6, level=0.95)
    assert 0 < found.estimate < 6


def test_what_cannot_be_estimated_says_so():
    labels, predictions, features = rows(300, 0)
    with pytest.raises(UnmeasurableError, match="mae, rmse, rmsle can"):
        fit_loss_model("r2", labels, predictions, features)
    with pytest.raises(UnmeasurableError, match="at least 200"):
        fit_loss_model("mae", labels[:9], predictions[:9], features[:9])
    with pytest.raises(UnmeasurableError, match="above -1"):
        fit_loss_model("rmsle", labels - 100, predictions, features)
    with pytest.raises(UnmeasurableError, match="finite"):
        estimate_loss(fit_loss_model("mae", labels, predictions, features), np.empty(0), features[:0], level=0.95)
