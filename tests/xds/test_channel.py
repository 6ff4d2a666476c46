"""The moves of one type on one stream."""

from __future__ import annotations

from tests.xds.made import clusters
from xds_server.xds.channel import Channel, Outstanding
from xds_server.xds.messages import NackDetail
from xds_server.xds.resource_set import EMPTY, ResourceSet
from xds_server.xds.subscription import LEGACY, Subscription
from xds_server.xds.type_url import CLUSTER

BAD = NackDetail(13, "bad")


def response(payload: ResourceSet, *removed: str, whole: bool = False) -> Outstanding:
    """An unanswered response."""
    return Outstanding("1", payload.version, payload, frozenset(removed), payload, whole)


def test_ack_makes_the_sent_the_held() -> None:
    """And clears what was unknown of it."""
    sent = clusters(a="1")
    channel = Channel(CLUSTER, LEGACY, unknown=frozenset({"a", "other"}))
    channel.send(response(sent), sent)
    channel.ack(response(sent))

    assert channel.acked is channel.sent is sent
    assert channel.unknown == {"other"}
    assert channel.status().versions == {"a": "1"}


def test_nack_leaves_every_name_of_the_response_unknown() -> None:
    """One bad resource may void the whole response, or only itself; removals may have been carried out."""
    before, after = clusters(a="1", gone="1"), clusters(a="2")
    channel = Channel(CLUSTER, LEGACY, acked=before, sent=before)
    channel.send(response(after, "gone"), after)
    channel.nack(response(after, "gone"), BAD)

    assert channel.unknown == {"a", "gone"}
    assert channel.status().versions == {"a": "1"}
    assert channel.status().error == BAD


def test_unsubscribed_names_are_forgotten() -> None:
    """The client drops them (xDS spec), so nothing is owed, unknown or held any more."""
    held = clusters(a="1", b="1")
    channel = Channel(CLUSTER, Subscription(frozenset("ab")), held, held)
    channel.due = channel.unknown = channel.claimed = frozenset("b")
    channel.subscribe(Subscription(frozenset("a")))

    assert channel.acked.names == channel.sent.names == {"a"}
    assert channel.due == channel.unknown == channel.claimed == frozenset()


def test_settled_names_are_the_shared_ones() -> None:
    """A stream keeps no copy of a thousand names that the snapshot has as well."""
    held = clusters(a="1", b="1")
    channel = Channel(CLUSTER, Subscription(frozenset({"b", "a"})))
    channel.settle(held, frozenset())

    assert channel.subscription.names is held.names


def test_what_a_peer_came_with_is_forgotten_once_it_has_taken_ours() -> None:
    """It would keep an old snapshot in memory; as long as something is refused it is all that is known."""
    held, sent = clusters(a="1", b="1"), clusters(a="2")
    refused = (response(clusters(b="2")),)
    for still, refusals in ((EMPTY, ()), (held, refused)):
        acked = Channel(CLUSTER, LEGACY, remembered=held, refused=refusals)
        acked.send(response(sent), sent)
        acked.ack(response(sent))
        settled = Channel(CLUSTER, LEGACY, remembered=held, refused=refusals)
        settled.settle(sent, frozenset())

        assert acked.remembered is settled.remembered is still


def test_nothing_to_say_of_a_name_leaves_nothing_unknown_of_it() -> None:
    """Nor owed: the stream is looked at no more than any other."""
    channel = Channel(CLUSTER, LEGACY, due=frozenset("ab"), unknown=frozenset("ab"))
    channel.settle(EMPTY, frozenset("a"))

    assert channel.due == channel.unknown == {"b"}


def test_response_repeats_only_unchanged_content() -> None:
    """Any difference makes a refused response worth another try."""
    refused = response(clusters(a="1", b="1"), "gone")

    assert refused.repeats(clusters(a="1", b="1", other="1"))
    assert not refused.repeats(clusters(a="2", b="1"))
    assert not refused.repeats(clusters(a="1"))
    assert not refused.repeats(clusters(a="1", b="1", gone="1"))


def test_whole_list_repeats_only_as_a_whole() -> None:
    """A SotW list with one more cluster is other content."""
    refused = response(clusters(a="1"), whole=True)

    assert refused.repeats(clusters(a="1"))
    assert not refused.repeats(clusters(a="1", b="1"))
    assert not refused.repeats(EMPTY)
