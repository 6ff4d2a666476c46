"""What is told of secrets that are not the asker's."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.xds.made import resource
from xds_server.server.hub import Peer, Proxy
from xds_server.server.secret_audit import SecretAudit
from xds_server.xds.messages import Node
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import SECRET

OWN = Snapshot().with_secrets([resource(SECRET, "default")])


def told(audit: SecretAudit, *asked: str, served: Snapshot | None = OWN) -> list[list[str]]:
    """Names in each line of the log."""
    with capture_logs() as logs:
        audit.asked(asked)
        if served is not None:
            audit.served(served)
    return [entry["names"] for entry in logs]


def audit() -> SecretAudit:
    return SecretAudit(Proxy(Node("n"), Peer("unix:")))


def test_own_secrets_and_the_wildcard_are_no_news() -> None:
    assert told(audit(), "default", "*") == []


def test_foreign_name_is_told_once() -> None:
    watch = audit()

    assert told(watch, "default", "b", "a") == [["a", "b"]]
    assert told(watch, "a", "c") == [["c"]]


def test_nothing_is_told_before_it_is_known_what_is_whose() -> None:
    assert told(audit(), "a", served=None) == []


def test_flood_of_names_does_not_flood_the_log() -> None:
    watch = audit()

    first = told(watch, *(f"{number:0300}" for number in range(10_000)))
    assert told(watch, "another") == []
    assert [len(names) for names in first] == [100]
    assert max(len(name) for name in first[0]) == 100
