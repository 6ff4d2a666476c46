"""What is said of credentials that are not in the secrets directory."""

from __future__ import annotations

import pytest

from tests.builders import entry, istio, policy_set
from xds_server.compiler.compile import compile_mesh
from xds_server.memo import Memo

RULE = entry() + istio(
    "DestinationRule",
    "host: reviews, workloadSelector: {matchLabels: {app: web}}, "
    "trafficPolicy: {tls: {mode: MUTUAL, credentialName: bank}}",
)


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (frozenset({"bank", "bank-cacert"}), []),
        (frozenset({"bank"}), ["credential bank has no ca.crt"]),
        (frozenset({"bnak", "bank-cacert"}), ["there is no credential bank"]),
        (None, ["there is no secrets directory to find bank in"]),
    ],
)
def test_each_credential_that_a_rule_needs_and_that_is_missing_is_told(
    credentials: frozenset[str] | None, said: list[str]
) -> None:
    _, problems = compile_mesh(policy_set(RULE), Memo(), credentials=credentials)

    assert [problem.message.partition(":")[0] for problem in problems] == said
    assert {problem.code for problem in problems} <= {"unknown-credential"}
