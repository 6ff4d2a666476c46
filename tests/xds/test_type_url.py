"""The types and the order in which they leave."""

from __future__ import annotations

import pytest

from xds_server.xds.type_url import PUSH_ORDER, SHORT_NAMES, push_order


def test_default_order_drops_nothing() -> None:
    """The same as CDS, EDS, LDS, RDS of the specification."""
    assert push_order([SHORT_NAMES[url] for url in PUSH_ORDER], gate=True) == PUSH_ORDER


@pytest.mark.parametrize("words", ["CDS,EDS,LDS,RDS", "CDS,EDS,LDS,RDS,RDS", "CDS,EDS,LDS,RDS,XDS", ""])
def test_order_names_each_type_once(words: str) -> None:
    with pytest.raises(ValueError, match="must name each of CDS, EDS, LDS, RDS, SDS once"):
        push_order(words.split(","), gate=False)


def test_secrets_may_be_anywhere() -> None:
    assert SHORT_NAMES[push_order(["SDS", "CDS", "EDS", "LDS", "RDS"], gate=True)[0]] == "SDS"


@pytest.mark.parametrize("words", ["RDS,CDS,EDS,LDS,SDS", "CDS,LDS,EDS,RDS,SDS", "CDS,EDS,RDS,LDS,SDS"])
def test_what_refers_comes_after_what_it_refers_to(words: str) -> None:
    """But where no request is asked to be spared."""
    with pytest.raises(ValueError, match=r"must not come before .DS, unless there is no gate"):
        push_order(words.split(","), gate=True)

    assert len(push_order(words.split(","), gate=False)) == len(PUSH_ORDER)


def test_endpoints_are_always_behind_their_clusters() -> None:
    with pytest.raises(ValueError, match="EDS must not come before CDS"):
        push_order(["EDS", "CDS", "LDS", "RDS", "SDS"], gate=False)
