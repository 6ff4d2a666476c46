"""Where each part of a document stands."""

from __future__ import annotations

from xds_server.policy.position import Positions

TREE = Positions(
    1, 1, {"spec": Positions(2, 1, {"old": Positions(3, 3, {"a": Positions(4, 5)}), "b_c": Positions(5, 3)})}
)


def test_the_deepest_written_part_answers() -> None:
    assert TREE.at(("spec", "old", "a")) == (4, 5)
    assert TREE.at(("spec", "old", "missing", 0)) == (3, 3)
    assert TREE.at(()) == (1, 1)


def test_a_linked_path_leads_to_the_same_place() -> None:
    linked = TREE.linked(("spec", "old"), ("spec", "new", "deeper"))

    assert linked.at(("spec", "new", "deeper", "a")) == (4, 5)
    assert linked.at(("spec", "new")) == (3, 3)
    assert linked.at(("spec", "old", "a")) == (4, 5)
    assert "new" not in TREE.children["spec"].children


def test_protos_spelling_is_found_under_istios_name() -> None:
    assert TREE.with_istio_names().at(("spec", "bC")) == (5, 3)
