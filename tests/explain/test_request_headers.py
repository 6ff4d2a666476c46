"""What of a request's headers routes see."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from xds_server.explain.request_headers import SOME_ID, headers_seen
from xds_server.explain.traffic import Connection, Request

Manager = hcm_v3.HttpConnectionManager
Underscores = core_v3.HttpProtocolOptionsHeadersWithUnderscoresAction
CALL = Connection("10.0.0.1", 80, source="10.0.0.9")
EDGE = Manager(use_remote_address=True)


def seen(manager: Manager, *headers: tuple[str, str], secure: bool = False) -> dict[str, str]:
    found = headers_seen(manager, CALL, Request("a.test", headers=headers), secure=secure)
    return {"": "refused"} if found is None else dict(found.headers) | {":scheme": found.scheme}


def underscores(action: Underscores) -> Manager:
    return Manager(
        common_http_protocol_options=core_v3.HttpProtocolOptions(headers_with_underscores_action=action),
        generate_request_id=False,
    )


def test_headers_that_only_proxies_may_send_are_taken_off() -> None:
    found = seen(Manager(), ("X-Envoy-Max-Retries", "9"), ("x-forwarded-client-cert", "Hash=1"), ("X-One", "1"))

    assert found == {"x-one": "1", "x-forwarded-proto": "http", "x-request-id": SOME_ID, ":scheme": "http"}


def test_scheme_is_what_a_proxy_before_says_it_was() -> None:
    sent = ("X-Forwarded-Proto", "https")

    assert seen(Manager(), sent)[":scheme"] == "https"
    assert seen(Manager(use_remote_address=True, xff_num_trusted_hops=1), sent)[":scheme"] == "https"


def test_stranger_is_not_believed_about_himself() -> None:
    found = seen(EDGE, ("X-Forwarded-Proto", "https"), ("x-forwarded-for", "8.8.8.8"), ("x-request-id", "mine"))

    assert (found[":scheme"], found["x-forwarded-proto"]) == ("http", "http")
    assert found["x-forwarded-for"] == "8.8.8.8,10.0.0.9"
    assert found["x-request-id"] == SOME_ID
    assert seen(EDGE, secure=True)["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("word", ["ftp", ""])
def test_word_that_is_no_scheme_stays_in_its_header_alone(word: str) -> None:
    found = seen(Manager(), ("x-forwarded-proto", word))

    assert (found["x-forwarded-proto"], found[":scheme"]) == (word, "http")


def test_header_with_underscores_stays_goes_or_refuses_the_request() -> None:
    sent = ("x_one", "1")

    assert seen(underscores(Underscores.ALLOW), sent)["x_one"] == "1"
    assert "x_one" not in seen(underscores(Underscores.DROP_HEADER), sent)
    assert seen(underscores(Underscores.REJECT_REQUEST), sent) == {"": "refused"}
