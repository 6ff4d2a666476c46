"""Which gateway a name means."""

from __future__ import annotations

import pytest

from xds_server.compiler.gateway_name import gateway_names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("edge", "shop/edge"),
        ("./edge", "shop/edge"),
        ("infra/edge", "infra/edge"),
        ("edge.infra", "infra/edge"),
        ("edge.infra.svc.cluster.local", "infra/edge"),
        ("mesh", "mesh"),
    ],
)
def test_each_form_of_a_name_is_understood(written: str, meant: str) -> None:
    assert gateway_names([written], "shop") == (meant,)


def test_none_is_the_mesh() -> None:
    assert gateway_names([], "shop") == ("mesh",)
