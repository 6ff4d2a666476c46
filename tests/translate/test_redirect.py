"""Redirects and direct responses."""

from __future__ import annotations

import pytest

from tests.translate.shown import shown
from xds_server.mesh.route import DirectResponse, Redirect
from xds_server.translate.redirect import direct_response_action, redirect_action


def test_redirect_changes_the_parts_it_names() -> None:
    redirect = Redirect(uri="/b", authority="other", scheme="https", port=8443, code=302)

    assert shown(redirect_action(redirect, 80)) == {
        "host_redirect": "other",
        "path_redirect": "/b",
        "scheme_redirect": "https",
        "port_redirect": 8443,
        "response_code": "FOUND",
    }


def test_redirect_by_prefix_keeps_the_rest_of_the_path() -> None:
    assert shown(redirect_action(Redirect(prefix_rewrite="/b"), 80)) == {"prefix_rewrite": "/b"}


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_every_code_of_a_redirect_is_one_that_envoy_knows(code: int) -> None:
    assert redirect_action(Redirect(code=code), 80).response_code is not None


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        (Redirect(port=80), 0),
        (Redirect(port=443), 443),
        (Redirect(scheme="https", port=443), 0),
        (Redirect(scheme="https", port=80), 80),
        (Redirect(derive_port="FROM_REQUEST_PORT"), 8080),
        (Redirect(), 0),
    ],
)
def test_redirect_never_names_the_default_port_of_its_scheme(redirect: Redirect, port: int) -> None:
    assert redirect_action(redirect, 8080).port_redirect == port


def test_text_of_a_direct_response_stays_readable() -> None:
    assert shown(direct_response_action(DirectResponse(503, b"later"))) == {
        "status": 503,
        "body": {"inline_string": "later"},
    }


def test_bytes_of_a_direct_response_that_are_no_text_are_kept() -> None:
    assert shown(direct_response_action(DirectResponse(200, b"\xff")))["body"] == {"inline_bytes": "/w=="}


def test_direct_response_without_body_has_none() -> None:
    assert shown(direct_response_action(DirectResponse(204))) == {"status": 204}
