"""What pydantic finds, in the author's words."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from tests.policy.reading import of_kind
from xds_server.policy.destination_rule import DestinationRuleSpec
from xds_server.policy.model import Finding, PolicyModel
from xds_server.policy.service_entry import ServiceEntrySpec
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.policy.wording import MOST_TOLD, findings, istio_path

BOOLEANS = "quote it: unquoted y, yes, on and true all mean true, and n, no, off and false mean false"


def said(model: type[PolicyModel], value: object) -> Finding:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    (found,) = findings(caught.value, model)
    return found


def rule(**parts: object) -> dict[str, object]:
    return {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}], **parts}]}


@pytest.mark.parametrize(
    ("parts", "message", "fix"),
    [
        ({"timout": "5s"}, "there is no field timout here", "did you mean timeout?"),
        ({"attempts": 3}, "there is no field attempts here", "it belongs at spec.http[].retries.attempts"),
        ({"match": [{"headers": {"a": {"exact": True}}}]}, "must be text, not true", BOOLEANS),
        ({"match": [{"headers": {"a": {"exact": 5}}}]}, "must be text, not the number 5", 'quote it: "5"'),
        ({"match": [{"headers": {"a": {"exact": []}}}]}, "must be text, not a list", ""),
        ({"match": [{"headers": {1: {}}}]}, "a key must be text", 'quote it: "1"'),
        ({"match": [{"port": "80"}]}, 'must be a number, not "80"', "write 80 without quotes"),
        ({"match": [{"port": 80.0}]}, "must be a whole number, not 80.0", "write 80"),
        ({"match": [{"port": math.inf}]}, "must be a whole number, not inf", ""),
        ({"match": [{"port": "9" * 40}]}, f'must be a number, not "{"9" * 40}"', ""),
        ({"match": [{"port": 0}]}, "must be 1 or more, not 0", ""),
        ({"match": [{"ignoreUriCase": "true"}]}, 'must be true or false, not "true"', "write true without quotes"),
        ({"match": {"port": 80}}, "must be a list, not a mapping", "put a dash in front of each entry"),
        ({"retries": [{"attempts": 3}]}, "must be a mapping of fields, not a list", "remove the dash in front of it"),
        (
            {"match": [{"uri": "/a"}]},
            'must be a mapping of fields, not "/a"',
            "write {exact: ...}, {prefix: ...} or {regex: ...}",
        ),
        ({"mirrorPercentage": 5}, "must be a mapping of fields, not the number 5", "write {value: ...}"),
        ({"match": [None]}, "has nothing after it", "give it a value, or remove it"),
        ({"directResponse": {}, "route": []}, "is required", ""),
    ],
)
def test_each_mistake_has_its_sentence(parts: dict[str, object], message: str, fix: str) -> None:
    found = said(VirtualServiceSpec, rule(**parts))

    assert (found.message, found.fix) == (message, fix)


def test_a_list_of_wrong_items_is_not_said_to_be_empty_too() -> None:
    found = said(ServiceEntrySpec, {"hosts": ["a_!"], "ports": [{"number": 80, "name": "http"}]})

    assert found.message == '"a_!" is not a host name'


def test_an_unknown_word_is_told_the_nearest() -> None:
    found = said(DestinationRuleSpec, {"host": "a", "trafficPolicy": {"loadBalancer": {"simple": "ROUNDROBIN"}}})

    assert found.fix == "write ROUND_ROBIN"
    assert found.at == ("trafficPolicy", "loadBalancer", "simple")


def test_a_place_is_in_istios_spelling_however_it_was_written() -> None:
    path = ("traffic_policy", "port_level_settings", 0, "load_balancer", "consistent_hash", "http_cookie")

    assert istio_path(DestinationRuleSpec, path) == (
        "trafficPolicy",
        "portLevelSettings",
        0,
        "loadBalancer",
        "consistentHash",
        "httpCookie",
    )


def test_keys_of_the_authors_own_are_left_as_they_are() -> None:
    assert istio_path(VirtualServiceSpec, ("http", 0, "match", 0, "headers", "x_y", "exact"))[-2:] == ("x_y", "exact")


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted() -> None:
    with pytest.raises(ValidationError) as caught:
        VirtualServiceSpec.model_validate({"hosts": ["a"], "http": [{"nme": 1}] * (MOST_TOLD + 7)})
    found = list(findings(caught.value, VirtualServiceSpec))

    assert len(found) == MOST_TOLD + 1
    assert found[-1].message == "7 more mistakes in it are not listed"


@pytest.mark.parametrize(
    ("kind", "spec", "fix"),
    [
        ("Gateway", "selector: [istio], servers: []", "write {key: value}, as many pairs as there are"),
        ("ServiceEntry", "hosts: [a], ports: [80]", "write {number: ..., name: ..., protocol: ...}"),
    ],
)
def test_what_must_be_a_mapping_names_its_form(kind: str, spec: str, fix: str) -> None:
    _, problems = of_kind(kind, f"{{{spec}}}")

    assert fix in [problem.fix for problem in problems]
