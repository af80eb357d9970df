"""What stands on a column."""

from mlops_assets.domain.drift.blast_radius import Lineage, trace_blast_radius

LINEAGE = Lineage(
    views={"temp": "weather_view", "wind": "weather_view", "seats": "plane_view", "hour": "request"},
    sources={"weather_view": ["weather.temp", "weather.wind"], "plane_view": ["planes.seats"], "request": []},
    models={"delay": ["temp", "hour"], "cancelled": ["wind"], "load": ["seats"]},
    endpoints={"flights": ["delay", "cancelled"], "cargo": ["load"]},
)


def test_a_column_hits_all_features_of_the_views_that_read_it():
    hit = trace_blast_radius(["weather.temp"], LINEAGE)
    assert hit.features == ("temp", "wind")
    assert hit.models == ("cancelled", "delay")
    assert hit.endpoints == ("flights",)
    assert str(hit) == "features: temp, wind; models: cancelled, delay; endpoints: flights"


def test_a_feature_hits_itself_alone():
    hit = trace_blast_radius(["hour"], LINEAGE)
    assert (hit.features, hit.models) == (("hour",), ("delay",))


def test_a_bare_name_means_the_column_of_any_feed():
    assert trace_blast_radius(["seats"], LINEAGE).endpoints == ("cargo",)


def test_an_unknown_name_is_told_and_hits_nothing():
    hit = trace_blast_radius(["weather.fog", "nothing"], LINEAGE)
    assert hit.unknown == ("weather.fog", "nothing")
    assert (hit.features, hit.models, hit.endpoints) == ((), (), ())
    assert "no feature uses it" in str(hit)


def test_gaps_in_the_lineage_are_all_told():
    assert LINEAGE.problems() == ()
    broken = Lineage({"a": "v"}, {}, {"m": ["a", "b"]}, {"e": ["n"]})
    assert len(broken.problems()) == 3
