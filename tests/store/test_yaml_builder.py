"""What is built of one document, where it stands, and what is refused before it is built."""

from __future__ import annotations

import pytest

from xds_server.store.yaml_builder import MAX_DEPTH, MAX_ITEMS, MAX_KEYS, MAX_REPEATED, Refused, build


def value(text: str) -> object:
    return build(text, 1)[0]


def refusal(text: str) -> Refused:
    with pytest.raises(Refused) as caught:
        build(text, 1)
    return caught.value


def test_a_document_becomes_plain_values() -> None:
    built = value("a: {b: [1, two, 'true', yes]}\nc:\n")

    assert built == {"a": {"b": [1, "two", "true", True]}, "c": None}


def test_an_empty_document_is_none() -> None:
    assert value("# a comment\n") is None


def test_each_entry_stands_at_its_key_and_each_item_at_itself() -> None:
    _, positions = build("a:\n  b:\n  - x\n  - z: 1\n", 10)

    assert positions.at(()) == (10, 1)
    assert positions.at(("a", "b")) == (11, 3)
    assert positions.at(("a", "b", 0)) == (12, 5)
    assert positions.at(("a", "b", 1, "z")) == (13, 5)


def test_an_alias_stands_where_it_is_written_and_its_parts_at_the_anchor() -> None:
    _, positions = build("a: &x {k: 1}\nb: *x\n", 1)

    assert positions.at(("b",)) == (2, 1)
    assert positions.at(("b", "k")) == (1, 8)


def test_an_alias_is_the_value_of_its_anchor() -> None:
    assert value("a: &x [1]\nb: *x\n") == {"a": [1], "b": [1]}


def test_an_anchored_scalar_may_be_repeated() -> None:
    assert value("a: &x 5s\nb: *x\n") == {"a": "5s", "b": "5s"}


def test_a_merge_fills_in_and_own_keys_win() -> None:
    assert value("a: &x {k: 1, l: 2}\nb: {l: 3, <<: *x}\n") == {"a": {"k": 1, "l": 2}, "b": {"l": 3, "k": 1}}


def test_the_first_of_several_merged_mappings_wins() -> None:
    built = value("- &x {k: 1}\n- &y {k: 2, l: 2}\n- {<<: [*x, *y]}\n")

    assert built == [{"k": 1}, {"k": 2, "l": 2}, {"k": 1, "l": 2}]


def test_a_merged_key_stands_at_its_anchor() -> None:
    _, positions = build("- &x\n  k: 1\n- <<: *x\n", 1)

    assert positions.at((1, "k")) == (2, 3)


def test_a_quoted_merge_key_is_an_ordinary_key() -> None:
    assert value('"<<": 1') == {"<<": 1}


def test_a_merge_of_a_scalar_is_refused() -> None:
    assert refusal("<<: 1").code == "yaml-merge"


def test_a_duplicate_key_is_refused_with_both_lines() -> None:
    refused = refusal("a: 1\nb: 2\na: 3\n")

    assert (refused.code, refused.line, refused.column) == ("duplicate-key", 3, 1)
    assert "lines 1 and 3" in str(refused)


def test_a_duplicate_of_a_merged_key_is_legal_only_once() -> None:
    assert refusal("- &x {k: 1}\n- {<<: *x, k: 2, k: 3}\n").code == "duplicate-key"


@pytest.mark.parametrize("key", ["8080", '"8080"', "0x1f90"])
def test_a_key_that_is_a_whole_number_is_its_text(key: str) -> None:
    value, _ = build(f"{key}: a", 1)

    assert value == {"8080": "a"}


def test_a_number_and_its_text_are_one_key() -> None:
    assert refusal('{80: a, "80": b}').code == "duplicate-key"


@pytest.mark.parametrize("key", ["on", "1.5", "null", "~"])
def test_a_key_that_is_no_text_is_told_to_be_quoted(key: str) -> None:
    refused = refusal(f"{key}: a")

    assert refused.code == "yaml-key"
    assert refused.fix == f'quote it: "{key}"'


@pytest.mark.parametrize("key", ["? [a]\n: b", "? {a: b}\n: c"])
def test_a_key_that_is_a_collection_is_refused(key: str) -> None:
    assert refusal(key).code == "yaml-key"


@pytest.mark.parametrize(
    "written", ["!!python/name:os.system x", "!custom x", "!!binary aGk=", "!custom {a: b}", "!!set [a]"]
)
def test_an_unknown_tag_is_refused(written: str) -> None:
    refused = refusal(f"a: {written}")

    assert (refused.code, refused.line, refused.column) == ("yaml-tag", 1, 4)


def test_a_known_tag_says_what_a_scalar_is() -> None:
    assert value("[!!str 1, !!int '1', ! true, !!float 1, !!bool 'yes', !!null '']") == ["1", 1, "true", 1, True, None]


def test_a_known_tag_that_does_not_fit_is_refused() -> None:
    assert refusal("!!int x").code == "yaml-tag"


def test_as_many_levels_as_allowed_are_read() -> None:
    assert value("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None


@pytest.mark.parametrize(
    "text", ["[" * (MAX_DEPTH + 1), "{a: " * 900, "".join(" " * i + "a:\n" for i in range(20_000 // 20))]
)
def test_more_levels_are_refused(text: str) -> None:
    assert refusal(text).code == "yaml-too-deep"


def test_aliases_that_multiply_are_refused_before_they_are_walked() -> None:
    """The billion laughs: nine levels of ten aliases each."""
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    assert refusal("\n".join(["a0: &a0 [x, x]", *levels])).code == "yaml-bomb"


def test_merges_that_multiply_are_refused() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(1000))
    merges = "\n".join(f"b{i}: {{<<: [*a, *a, *a]}}" for i in range(MAX_REPEATED // 3000 + 1))

    assert refusal(f"a: &a {{{keys}}}\n{merges}").code == "yaml-bomb"


@pytest.mark.parametrize("text", ["a: *x", "&a [*a]", "&a {b: *a}"])
def test_an_alias_needs_a_complete_anchor_before_it(text: str) -> None:
    assert refusal(text).code == "yaml-alias"


def test_a_mapping_with_too_many_keys_is_refused() -> None:
    refused = refusal("\n".join(f"k{i}: 1" for i in range(200_000)))

    assert (refused.code, refused.line) == ("yaml-too-large", MAX_KEYS + 1)


def test_a_list_with_too_many_items_is_refused_at_the_first_of_them() -> None:
    refused = refusal("- 1\n" * (2 * MAX_ITEMS))

    assert (refused.code, refused.line) == ("yaml-too-large", MAX_ITEMS + 1)


def test_a_second_document_is_refused() -> None:
    assert refusal("a: 1\n--- \nb: 1\n").line == 2


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("[1.2.3.4, 001:db8::]", ["1.2.3.4", "001:db8::"]),
        ("[db8::, 'a:]', b]", ["db8::", "a:]", "b"]),
        ('{a: [db8::], "b":[1], "c:{":2}', {"a": ["db8::"], "b": [1], "c:{": 2}),
        ("a: [db8::] # [x:]\nb: |\n  [y:]\n", {"a": ["db8::"], "b": "[y:]\n"}),
        ("[b:]", ["b:"]),
    ],
)
def test_colon_before_a_bracket_belongs_to_the_plain_scalar(text: str, built: object) -> None:
    """As Go's loader reads it; libyaml takes it for a mistake. The first is of Istio's own valid ServiceEntry."""
    assert value(text) == built


def test_places_are_right_behind_a_colon_before_a_bracket() -> None:
    _, positions = build("a: [db8::]\nb: {c: [d::], e: 1}\n", 1)

    assert positions.at(("b", "e")) == (2, 15)


def test_what_is_wrong_behind_a_colon_before_a_bracket_is_found_where_it_stands() -> None:
    refused = refusal("a: [db8::]\nb: 1\nb: 2\n")

    assert (refused.line, refused.code) == (3, "duplicate-key")
