"""The way from policies to snapshots, and what is shared on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from tests.builders import entry, istio, policy_set, workload
from xds_server.compiler.premises import Premises
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.view import View
from xds_server.pipeline import Pipeline
from xds_server.policy.document import PolicySet
from xds_server.server.wire import Bodies
from xds_server.translate.translate import Translator
from xds_server.xds import type_url
from xds_server.xds.delta import DeltaStream
from xds_server.xds.messages import DeltaRequest, Node
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

Translate = Callable[[Translator, View], Iterable[Resource]]
SHARED_TYPES = (type_url.CLUSTER, type_url.ENDPOINT, type_url.LISTENER, type_url.ROUTE)
"""Of which a view has all that its proxies are sent."""


def test_workloads_with_equal_views_share_one_snapshot() -> None:
    """Names and labels that no policy asks for do not tell views apart."""
    pipeline = Pipeline()
    generation = pipeline.compile(policy_set(entry("reviews")))

    one = pipeline.snapshot_for(generation, workload("a", app="x"))
    two = pipeline.snapshot_for(generation, workload("b", app="y"))

    assert one is two


def test_label_that_a_route_asks_for_makes_another_snapshot() -> None:
    """The route is in one and not in the other."""
    pipeline = Pipeline()
    routed = istio(
        "VirtualService",
        "hosts: [reviews], http: [{match: [{sourceLabels: {app: x}}], directResponse: {status: 418}}]",
    )
    generation = pipeline.compile(policy_set(entry("reviews"), routed))

    asked, other = (pipeline.snapshot_for(generation, workload("a", app=app)) for app in "xy")

    assert asked.of_type(type_url.ROUTE)["80"] != other.of_type(type_url.ROUTE)["80"]


def test_edit_keeps_every_resource_that_it_does_not_touch() -> None:
    """The same objects, so that nothing is encoded, hashed or sent again."""
    pipeline = Pipeline()
    kept = entry("kept")
    documents = policy_set(kept)
    before = pipeline.snapshot_for(pipeline.compile(documents), workload())
    after = pipeline.snapshot_for(
        pipeline.compile(PolicySet((*documents.documents, *policy_set(entry("new")).documents))), workload()
    )

    name = "outbound|80||kept"
    assert after.of_type(type_url.CLUSTER)[name] is before.of_type(type_url.CLUSTER)[name]
    assert "outbound|80||new" in after.of_type(type_url.CLUSTER)


def test_endpoint_edit_changes_endpoints_alone() -> None:
    """Adding, removing or draining a STATIC endpoint is EDS and nothing else."""
    pipeline = Pipeline()
    snapshots = [
        pipeline.snapshot_for(pipeline.compile(policy_set(entry("reviews", f"endpoints: {endpoints}"))), workload())
        for endpoints in ("[{address: 10.0.0.1}]", "[{address: 10.0.0.1}, {address: 10.0.0.2}]")
    ]

    versions = [
        {url: [one.version for one in snapshot.of_type(url).values()] for url in type_url.PUSH_ORDER}
        for snapshot in snapshots
    ]
    changed = {url for url in type_url.PUSH_ORDER if versions[0][url] != versions[1][url]}
    assert changed == {type_url.ENDPOINT}


def test_generations_count_up_and_tell_problems_once() -> None:
    """A problem that reading and compiling both know is one problem."""
    pipeline = Pipeline()
    numbers = [pipeline.compile(policy_set(entry("reviews"))).number for _ in range(2)]

    assert numbers == [1, 2]


def test_workload_that_can_have_no_identity_is_told_of_no_mesh_tls() -> None:
    """It would wait for secrets that cannot come; what its policies close stays closed."""
    pipeline = Pipeline(Premises(trust_domain=TrustDomain()))
    proven = entry("a", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1, serviceAccount: a}]")
    generation = pipeline.compile(policy_set(proven))

    able, unable = (
        pipeline.snapshot_for(generation, replace(workload("a"), service_account=account))
        for account in ("a", "no/one")
    )

    assert (type_url.SECRET, "default") in able.of_type(type_url.CLUSTER)["outbound|80||a"].refs
    assert (type_url.SECRET, "default") not in unable.of_type(type_url.CLUSTER)["outbound|80||a"].refs


def test_aliases_of_the_mesh_join_those_of_the_server_at_both_ends() -> None:
    """Live: the next generation has them, and the one after has them no more."""
    pipeline = Pipeline(Premises(trust_domain=TrustDomain("cluster.local", ("flag.example",))))
    proven = entry(
        "a", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1, labels: {app: a}, serviceAccount: a}]"
    )
    aliases = istio("MeshConfig", "trustDomainAliases: [file.example]").replace("/v1\n", "/v1alpha1\n")

    def honoured(*documents: str) -> set[tuple[bool, bool]]:
        snapshot = pipeline.snapshot_for(pipeline.compile(policy_set(*documents)), workload("a", app="a"))
        cluster = snapshot.of_type(type_url.CLUSTER)["outbound|80||a"].body
        listeners = b"".join(one.body for one in snapshot.of_type(type_url.LISTENER).values())
        return {(b"file.example" in body, b"flag.example" in body) for body in (cluster, listeners)}

    assert honoured(proven, aliases) == {(True, True)}
    assert honoured(proven) == {(False, True)}


def thousand_in_three_views(pipeline: Pipeline) -> list[Snapshot]:
    """The snapshots of proxies in three namespaces, two of which a Sidecar shows their own service only."""
    scoped = [istio("Sidecar", f'egress: [{{hosts: ["{where}/*"]}}]', namespace=where) for where in ("a", "b")]
    own = [entry(f"{where}-service", namespace=where) for where in ("a", "b")]
    generation = pipeline.compile(policy_set(*own, *scoped))
    namespaces = ("a", "b", "c")
    return [
        pipeline.snapshot_for(generation, workload(f"proxy-{n}", namespace=namespaces[n % 3], version=str(n)))
        for n in range(1000)
    ]


def test_a_thousand_proxies_in_three_views_share_three_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three translations; and what the views have in common is in each of them as the same object, held once."""
    translations: list[View] = []

    def counted(self: Translator, view: View, translate: Translate = Translator.translate) -> Iterable[Resource]:
        translations.append(view)
        return translate(self, view)

    monkeypatch.setattr(Translator, "translate", counted)

    snapshots = thousand_in_three_views(Pipeline())

    a, b, c = snapshots[:3]
    clusters = [set(each.of_type(type_url.CLUSTER)) for each in (a, b, c)]
    assert len(set(map(id, snapshots))) == len(translations) == 3
    assert clusters[0] | clusters[1] == clusters[2]
    assert clusters[0] - clusters[1] == {"outbound|80||a-service"}
    name = "outbound|80||a-service"
    assert a.of_type(type_url.CLUSTER)[name] is c.of_type(type_url.CLUSTER)[name]


@pytest.mark.parametrize("with_identities", [False, True])
def test_a_thousand_proxies_in_three_views_are_sent_three_bodies_of_each_type(with_identities: bool) -> None:
    """The same bytes objects, whatever certificate each has of its own: only that one is made for it alone."""
    bodies = Bodies()
    sent: dict[str, list[bytes]] = {url: [] for url in SHARED_TYPES}
    alive: list[DeltaStream] = []
    for number, view in enumerate(thousand_in_three_views(Pipeline())):
        own = [Resource(type_url.SECRET, "default", str(number), b"%d" % number)] if with_identities else []
        machine = DeltaStream()
        for url in SHARED_TYPES:
            machine.receive(DeltaRequest(type_url=url, subscribe=("*",), node=Node(f"proxy-{number}")))
        alive.append(machine)
        for response in machine.offer(view.with_secrets(own) if own else view):
            sent[response.type_url].append(bodies.of(response))

    made = {url: (len(found), len(set(map(id, found)))) for url, found in sent.items()}
    assert made == dict.fromkeys(SHARED_TYPES, (1000, 3))
