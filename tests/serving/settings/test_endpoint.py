"""Settings from an environment: defaults, and every mistake told at once."""

import pytest

from serving.contract.release import Provider
from serving.settings.endpoint import read_settings
from serving.settings.environment import WrongSettings


def test_defaults_stand_under_the_home(tmp_path):
    settings = read_settings({"MLOPS_HOME": str(tmp_path)})
    assert settings.releases == tmp_path / "releases"
    assert settings.provider is Provider.AUTO
    assert settings.log
    assert (settings.cache, settings.has_features, settings.baked) == (0, False, None)


def test_a_registry_that_came_after_the_start_is_found(tmp_path):
    settings = read_settings({"MLOPS_HOME": str(tmp_path)})
    (tmp_path / "feast").mkdir()
    (tmp_path / "feast" / "registry.db").touch()
    assert settings.has_features
    assert read_settings({"MLOPS_FEATURE_REGISTRY": "postgresql://features/registry"}).has_features


def test_every_mistake_is_told_at_once():
    wrong = {"ENDPOINT_QUEUE": "0", "ENDPOINT_PROVIDER": "tpu", "ENDPOINT_LOG": "maybe", "ENDPOINT_BODY_MB": "x"}
    with pytest.raises(WrongSettings) as caught:
        read_settings(wrong)
    assert all(name in str(caught.value) for name in wrong)


def test_a_wrong_url_is_told_without_its_secret():
    with pytest.raises(WrongSettings) as caught:
        read_settings({"MLOPS_ONLINE_STORE": "http://user:secret@host"})
    assert "MLOPS_ONLINE_STORE" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////data/online.db", {"type": "sqlite", "path": "/data/online.db"}),
        (
            "rediss://me:p%40ss@cache:6380/2",
            {"type": "redis", "connection_string": "cache:6380,db=2,ssl=true,username=me,password=p@ss"},
        ),
        ("redis://cache", {"type": "redis", "connection_string": "cache:6379"}),
    ],
)
def test_online_stores_are_named_by_url(url, expected):
    assert read_settings({"MLOPS_ONLINE_STORE": url}).online_store == expected


def test_two_baked_bundles_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    with pytest.raises(WrongSettings, match="holds 2 bundles"):
        read_settings({"ENDPOINT_BAKED": str(tmp_path)})


def test_each_text_becomes_a_value_of_its_field():
    settings = read_settings({"ENDPOINT_GRPC_PORT": "3456", "ENDPOINT_BODY_MB": "0.5", "ENDPOINT_LOG": "off"})
    assert (settings.grpc_port, settings.body, settings.log) == (3456, 500_000, False)
    assert read_settings({"ENDPOINT_GRPC_PORT": "off"}).grpc_port == 0


def test_an_error_names_variable_value_and_remedy():
    with pytest.raises(WrongSettings, match="ENDPOINT_QUEUE must be a whole number from 1 to 1,000,000, not '0'"):
        read_settings({"ENDPOINT_QUEUE": "0"})


@pytest.mark.parametrize("secret", ["hunter2", "me:hunter2@host", "http://me:hunter2@host"])
def test_no_error_and_no_repr_shows_a_secret(secret):
    with pytest.raises(WrongSettings) as caught:
        read_settings({"MLOPS_ONLINE_STORE": secret})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
    assert "hunter2" not in repr(read_settings({"MLOPS_ONLINE_STORE": "redis://me:hunter2@host"}))
