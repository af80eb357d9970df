"""The asset graph as lines. A change of the graph is reviewed as the diff of `asset_graph.txt`.

To renew it: `python -m tests.graph.asset_graph`.
"""

from tests.graph.asset_graph import SNAPSHOT, lines


def test_the_graph_is_the_one_that_was_agreed_on():
    agreed = SNAPSHOT.read_text().splitlines()
    now = lines()
    gone, new = sorted(set(agreed) - set(now)), sorted(set(now) - set(agreed))
    assert now == agreed, "\n".join(
        [
            "The asset graph changed.",
            *(f"- {line}" for line in gone),
            *(f"+ {line}" for line in new),
            "If that is meant: python -m tests.graph.asset_graph, and have the diff reviewed.",
        ]
    )


def test_nothing_of_watching_leads_back_into_training():
    """The only way back from the end to the start is a sensor."""
    parents = {line.split(" <- ")[0]: line for line in lines() if " <- " in line}
    assert not any("drift" in parents[child] for child in parents if child.endswith("trained_model"))
