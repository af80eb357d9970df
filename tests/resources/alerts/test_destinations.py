"""The forms of destinations that are understood, and what of them is never shown."""

import pytest

from mlops_assets.resources.alerts.destinations import WrongDestinationError, mask_secrets, parse_destinations


def test_unknown_urls_are_all_named_and_masked():
    with pytest.raises(WrongDestinationError) as caught:
        parse_destinations("json://host/a nothing://s3cr3t jsonhost mailto://u:p@example.org?to=a@b.org")
    assert "2. (nothing://…), 3. (no scheme) of 4 URLs" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "json://host/path",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23ops",
        "pagerduty://integrationkey@apikey",
        "mailto://user:password@example.org?to=someone@example.org",
    ],
)
def test_the_usual_services_are_understood(url):
    (destination,) = parse_destinations(url)
    assert destination.name.startswith(url.partition("://")[0] + "-")
    assert url.partition("://")[2] not in repr(destination)


def test_parts_of_a_url_are_masked_in_a_problem():
    assert mask_secrets("no host.example for t0ken1", "json://user:t0ken1@host.example/x") == "no *** for ***"
