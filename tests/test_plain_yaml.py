"""Plain values as YAML that people read."""

from __future__ import annotations

import yaml

from xds_server.plain_yaml import plain_yaml


def test_keys_keep_their_order() -> None:
    assert plain_yaml({"kind": "A", "apiVersion": "b"}) == "kind: A\napiVersion: b\n"


def test_equal_values_are_written_out_again() -> None:
    shared = {"number": 80}

    text = plain_yaml([shared, shared])

    assert "&" not in text
    assert yaml.safe_load(text) == [shared, shared]


def test_letters_of_any_alphabet_are_readable() -> None:
    assert plain_yaml({"name": "größe"}) == "name: größe\n"
