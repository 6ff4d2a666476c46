"""What is kept of a stream's answers, and above all what is not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from xds_server.problem import Origin
from xds_server.server.hub import Peer, Proxy
from xds_server.server.status import StatusBoard, StreamRecord, redacted, refusal
from xds_server.telemetry.change import Answer
from xds_server.xds import type_url
from xds_server.xds.channel import TypeStatus
from xds_server.xds.messages import Acked, DeltaResponse, NackDetail, Nacked, Node, SotwResponse
from xds_server.xds.proxy_status import Variant
from xds_server.xds.resource import Resource

KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2OF"
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----"
REVIEWS = Origin("reviews.yaml", 3, "DestinationRule", "default", "reviews")
RATINGS = Origin("ratings.yaml", 1, "DestinationRule", "default", "ratings")
CLUSTERS = (
    Resource(type_url.CLUSTER, "outbound|80||reviews", "1", b"r", origins=(REVIEWS,)),
    Resource(type_url.CLUSTER, "outbound|80||ratings", "1", b"s", origins=(RATINGS, REVIEWS)),
)


class Clock:
    """A clock that moves by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """See `status.Clock`."""
        self.now += 1
        return self.now


def nacked(text: str, resources: tuple[Resource, ...] = CLUSTERS, url: str = type_url.CLUSTER) -> Nacked:
    return Nacked(url, "n1", NackDetail(13, text), resources)


def opened(board: StatusBoard, node: str = "n", asked: Mapping[str, tuple[int, bool]] | None = None) -> StreamRecord:
    told = {
        url: TypeStatus(frozenset(map(str, range(names))), wildcard, "", "", "", "", {}, None, {})
        for url, (names, wildcard) in (asked or {}).items()
    }
    return board.open(Proxy(Node(node, "c", user_agent="envoy/1.40.0"), Peer("ipv4:1")), Variant.DELTA, lambda: told)


@pytest.mark.parametrize(
    "text",
    [
        f"Failed to load private key from {PEM}",
        f'private_key {{ inline_string: "{PEM}" }}'.replace("\n", "\\n"),
        f"truncated -----BEGIN EC PRIVATE KEY-----\n{KEY}",
        f'inline_bytes: "{KEY}"',
        f'"inline_string": "\\"{KEY[:20]}"',
        f"bad value {KEY}==",
        f'header {{ key: "authorization" value: "Bearer {KEY[:20]}" }}',
        f'raw_value: "a \\" {KEY[:20]}"',
        f'{{"backend_token":"{KEY[:20]}"}}',
    ],
)
@pytest.mark.parametrize("url", [type_url.CLUSTER, type_url.LISTENER, type_url.SECRET])
def test_no_key_material_is_kept_of_any_nack(text: str, url: str) -> None:
    """Envoy quotes the offending message, private key included."""
    assert KEY[:20] not in redacted(url, text)


def test_nothing_at_all_is_kept_of_what_is_said_about_a_secret() -> None:
    assert "short-token" not in redacted(type_url.SECRET, "Invalid Secret: generic short-token")


def test_ordinary_text_is_kept_word_for_word() -> None:
    text = "Error adding/updating cluster(s) outbound|9080|v1|reviews.default.svc.cluster.local: no such extension"

    assert redacted(type_url.CLUSTER, text) == text


def test_what_a_value_must_be_is_kept() -> None:
    text = "Proto constraint validation failed (HeaderValue.Value: value length must be at most 16384 bytes)"

    assert redacted(type_url.LISTENER, text) == text


def test_endless_text_is_cut() -> None:
    assert len(redacted(type_url.CLUSTER, "no " * 10_000)) == 2001


def test_refusal_blames_the_resource_that_the_text_names() -> None:
    found = refusal(nacked("Error adding/updating cluster(s) outbound|80||reviews: no such extension"))

    assert found.names == ("outbound|80||reviews",)
    assert found.origins == (REVIEWS,)


def test_refusal_that_names_nothing_blames_the_whole_response() -> None:
    """A message that Envoy cannot decode voids the whole response, and its text names no resource."""
    found = refusal(nacked("Invalid duration: Expected positive duration"))

    assert found.names == ("outbound|80||reviews", "outbound|80||ratings")
    assert found.origins == (RATINGS, REVIEWS)


def test_a_name_inside_a_longer_name_is_not_blamed() -> None:
    short = Resource(type_url.CLUSTER, "80", "1", b"")

    found = refusal(nacked("Error adding/updating cluster(s) outbound|80||reviews: no", (short, *CLUSTERS)))

    assert found.names == ("outbound|80||reviews",)


def test_refusal_of_a_secret_names_it_and_its_policies() -> None:
    secret = Resource(type_url.SECRET, "default", "1", b"", origins=(REVIEWS,))

    found = refusal(nacked(f"Invalid: default {PEM}", (secret,), type_url.SECRET))

    assert (found.names, found.origins) == (("default",), (REVIEWS,))


def test_answers_are_of_what_was_sent_since() -> None:
    """The clock ticks with each look at it: it was opened at 1, CDS left at 2 and was taken at 3, and so on."""
    board = StatusBoard(clock=Clock())
    record = opened(board)
    record.sent(DeltaResponse(type_url.CLUSTER, "v1", "n1", CLUSTERS), 10)
    record.acked(Acked(type_url.CLUSTER, "n1"))
    record.sent(DeltaResponse(type_url.LISTENER, "v1", "n2", CLUSTERS), 10)
    record.nacked(Nacked(type_url.LISTENER, "n2", NackDetail(13, "no"), ()))
    record.sent(DeltaResponse(type_url.ROUTE, "v1", "n3", CLUSTERS), 10)

    assert [*board.answers(0)] == [
        Answer("n", "CDS", "taken", 2, 3),
        Answer("n", "LDS", "refused", 4, 5),
        Answer("n", "RDS", "unanswered", 6, 7),
    ]
    assert [answer.kind for answer in board.answers(4)] == ["LDS", "RDS"]


def test_status_shows_what_was_sent_and_taken() -> None:
    board = StatusBoard(namespace_of=lambda _: "shop", clock=Clock())
    record = opened(board, asked={type_url.CLUSTER: (0, True)})
    record.sent(DeltaResponse(type_url.CLUSTER, "v1", "n1", CLUSTERS), 10)
    record.acked(Acked(type_url.CLUSTER, "n1"))
    record.sent(DeltaResponse(type_url.CLUSTER, "v2", "n2", CLUSTERS), 10)

    (proxy,) = board.proxies()
    state = proxy.types[type_url.CLUSTER]

    assert (proxy.node_id, proxy.cluster, proxy.namespace, proxy.peer) == ("n", "c", "shop", "ipv4:1")
    assert (proxy.variant, proxy.connected_at) == (Variant.DELTA, datetime.fromtimestamp(1, UTC))
    assert (state.sent_nonce, state.sent_version) == ("n2", "v2")
    assert (state.acked_nonce, state.acked_version, state.acked_at) == ("n1", "v1", datetime.fromtimestamp(3, UTC))
    assert (state.wildcard, state.pushes, state.acks) == (True, 2, 1)
    assert not state.is_synced


def test_what_a_peer_held_when_it_came_is_synced_without_being_sent() -> None:
    told = TypeStatus(frozenset(), True, "", "", "v1", "", {}, None, {})
    board = StatusBoard()
    record = board.open(Proxy(Node("n"), Peer("ipv4:1")), Variant.DELTA, lambda: {type_url.CLUSTER: told})
    states = [board.proxies()[0].types[type_url.CLUSTER]]
    record.sent(DeltaResponse(type_url.CLUSTER, "v2", "n1", CLUSTERS), 10)
    states.append(board.proxies()[0].types[type_url.CLUSTER])

    assert [(state.is_synced, state.sent_nonce, state.acked_version) for state in states] == [
        (True, "", "v1"),
        (False, "n1", "v1"),
    ]


def test_status_shows_a_refusal_until_a_later_response_is_taken() -> None:
    board = StatusBoard()
    record = opened(board)
    record.sent(SotwResponse(type_url.CLUSTER, "v1", "n1", CLUSTERS), 10)
    record.nacked(nacked("outbound|80||reviews: bad"))
    (before,) = board.proxies()

    record.sent(SotwResponse(type_url.CLUSTER, "v2", "n2", CLUSTERS), 10)
    record.nacked(nacked("outbound|80||reviews: still bad"))
    record.sent(SotwResponse(type_url.CLUSTER, "v3", "n3", CLUSTERS), 10)
    record.acked(Acked(type_url.CLUSTER, "n3"))
    (after,) = board.proxies()

    assert before.types[type_url.CLUSTER].last_error == "outbound|80||reviews: bad"
    assert before.types[type_url.CLUSTER].origins == (REVIEWS,)
    assert after.types[type_url.CLUSTER].last_error == ""
    assert after.types[type_url.CLUSTER].nacks == 2


def test_type_that_was_asked_for_and_not_yet_sent_is_shown() -> None:
    board = StatusBoard()
    opened(board, asked={type_url.ROUTE: (3, False)})

    (proxy,) = board.proxies()

    assert (proxy.types[type_url.ROUTE].subscribed, proxy.types[type_url.ROUTE].sent_at) == (3, None)


def test_two_streams_of_one_node_are_two_rows() -> None:
    board = StatusBoard()
    first = opened(board)
    opened(board)
    assert len(board.proxies()) == 2

    board.close(first)

    assert len(board.proxies()) == 1


def test_totals_outlive_their_streams() -> None:
    board = StatusBoard()
    record = opened(board)
    record.sent(DeltaResponse(type_url.CLUSTER, "v1", "n1", CLUSTERS), 10)
    record.acked(Acked(type_url.CLUSTER, "n1"))
    record.nacked(nacked("no"))

    board.close(record)
    board.ended("OK")
    totals = board.totals()

    assert (totals.open, totals.opened, totals.ended, totals.sent_bytes) == (0, 1, {"OK": 1}, 10)
    assert totals.pushes == totals.acks == totals.nacks == {type_url.CLUSTER: 1}


def test_stream_is_settled_when_it_has_answered_what_it_was_sent() -> None:
    board = StatusBoard()
    record = opened(board)
    settled = [board.is_settled]
    record.sent(SotwResponse(type_url.CLUSTER, "v1", "n1", CLUSTERS), 10)
    settled.append(board.is_settled)
    record.nacked(nacked("no"))
    settled.append(board.is_settled)
    record.sent(SotwResponse(type_url.CLUSTER, "v2", "n2", CLUSTERS), 10)
    settled.append(board.is_settled)
    record.acked(Acked(type_url.CLUSTER, "n2"))
    settled.append(board.is_settled)

    assert settled == [True, False, True, False, True]


def test_stream_is_not_settled_while_something_waits_to_be_written() -> None:
    board = StatusBoard()

    opened(board).is_due = True

    assert not board.is_settled


def test_last_answer_is_the_time_of_the_latest_ack_or_nack() -> None:
    board = StatusBoard(clock=Clock())
    record = opened(board)  # reads the clock
    record.acked(Acked(type_url.CLUSTER, "n1"))
    after_ack = board.last_answer
    record.nacked(nacked("no"))

    assert (after_ack, board.last_answer) == (2.0, 3.0)


def test_waiting_for_names_who_has_not_taken_the_latest_of_a_type() -> None:
    board = StatusBoard()
    takes, refuses, due = opened(board, "takes"), opened(board, "refuses"), opened(board, "due")
    opened(board, "was sent nothing")
    for record in (takes, refuses):
        record.sent(DeltaResponse(type_url.SECRET, "v1", "n1", ()), 10)
    takes.acked(Acked(type_url.SECRET, "n1"))
    refuses.nacked(nacked("no", (), type_url.SECRET))
    due.is_due = True

    assert board.waiting_for(type_url.SECRET) == ("due", "refuses")


def test_a_refusal_says_whether_it_names_what_it_refuses() -> None:
    named, bare = refusal(nacked("Error adding/updating cluster(s) outbound|80||reviews: bad")), refusal(nacked("bad"))

    assert (named.is_named, bare.is_named) == (True, False)
    assert bare.names == ("outbound|80||reviews", "outbound|80||ratings")


def test_a_refusal_is_new_only_right_after_an_ack() -> None:
    """Counted from when what was taken left, here the clock's first second after it opened."""
    record = opened(StatusBoard(clock=Clock()))
    record.sent(SotwResponse(type_url.CLUSTER, "1", "n0", CLUSTERS), 1)
    never = record.nacked(Nacked(type_url.CLUSTER, "n0", NackDetail(13, "bad"), CLUSTERS))
    record.sent(SotwResponse(type_url.CLUSTER, "2", "n1", CLUSTERS), 1)
    record.acked(Acked(type_url.CLUSTER, "n1"))
    record.sent(SotwResponse(type_url.CLUSTER, "3", "n2", CLUSTERS), 1)
    new = record.nacked(Nacked(type_url.CLUSTER, "n2", NackDetail(13, "bad"), CLUSTERS))
    record.sent(SotwResponse(type_url.CLUSTER, "4", "n3", CLUSTERS), 1)
    again = record.nacked(Nacked(type_url.CLUSTER, "n3", NackDetail(13, "bad"), CLUSTERS))

    assert (never.taken_ago, new.taken_ago, again.taken_ago) == (None, 3.0, None)
