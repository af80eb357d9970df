"""The circuit breaker's states, one test for each way between them."""

from serving.models.breaker import Breaker, BreakerState


def opened() -> Breaker:
    breaker = Breaker(share=0.5, pause=2.0)
    for _ in range(5):
        breaker.failed(now=10.0)
    return breaker


def test_it_opens_after_enough_failures_and_lets_nothing_through():
    breaker = opened()
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows(11.9)


def test_few_failures_among_many_successes_keep_it_closed():
    breaker = Breaker(share=0.5, pause=2.0)
    breaker.failed(now=0.0)
    for _ in range(20):
        breaker.succeeded()
    for _ in range(5):
        breaker.failed(now=0.0)
    assert breaker.state is BreakerState.CLOSED


def test_half_open_lets_one_through():
    breaker = opened()
    assert breaker.allows(12.0)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.allows(12.1)


def test_a_trial_that_succeeds_closes_it():
    breaker = opened()
    breaker.allows(12.0)
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allows(12.1)


def test_a_trial_that_fails_opens_it_for_twice_as_long():
    breaker = opened()
    breaker.allows(12.0)
    breaker.failed(now=12.0)
    assert not breaker.allows(15.9)
    assert breaker.allows(16.0)


def test_a_trial_that_never_returns_does_not_block_for_ever():
    breaker = opened()
    breaker.allows(12.0)
    assert breaker.allows(14.0)
