"""What DestinationRules mean: which of them speak for a service, and the one TrafficRule they make together.

A caller's own namespace is asked first, then the service's, then the root namespace; the first that has a rule for the
host decides, a rule for the exact host before any wildcard. All rules there for that host are merged section by
section, which is better on purpose than Istio, where all but the oldest policy are silently lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from xds_server.compiler.client_tls import tls_traps
from xds_server.compiler.credential import missing_credentials
from xds_server.compiler.finding import Outcome, Place, nearest, neighbours
from xds_server.compiler.locality_share import share_traps
from xds_server.compiler.traffic_policy import ISTIO_TRAFFIC, Sections, TrafficDefaults, traffic_policy, tunnel
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.mesh.host import Names, candidates, covers, is_wildcard, normal
from xds_server.mesh.mesh import Scope
from xds_server.mesh.route import Backend
from xds_server.mesh.selective import SelectiveRule
from xds_server.mesh.service import Resolution, Service, labels_match
from xds_server.mesh.traffic import PortPolicies, Subset, TrafficRule
from xds_server.policy import destination_rule as policy
from xds_server.policy.destination_rule import DestinationRuleSpec, PortTrafficPolicy, TrafficPolicy
from xds_server.policy.document import Document
from xds_server.policy.model import istio_name
from xds_server.problem import Problem

SECTIONS = tuple(Sections.__dataclass_fields__)
PORT_SECTIONS = ("load_balancer", "connection_pool", "outlier_detection", "tls")
"""What the settings of a port may hold."""


def target(document: Document, names: Names) -> str:
    """What a rule is for: a service host, a wildcard, or "" when no service has its host."""
    host = normal(_spec(document).host)
    return host if is_wildcard(host) else names.resolve(host, document.namespace) or ""


def rule_candidates(document: Document) -> tuple[str, ...]:
    """The service hosts that `target` may find."""
    return candidates(_spec(document).host, document.namespace)


def backend(service: Service, rule: Outcome[TrafficRule], documents: tuple[Document, ...]) -> Outcome[Backend]:
    """A service with the rule in force for it, which `documents` make."""
    traps = (
        *_subset_traps(service, documents),
        *tls_traps(service, documents),
        *share_traps(service, documents),
    )
    return Outcome(Backend(service, rule.value), (*rule.problems, *traps))


def unknown_host(document: Document, near: tuple[str, ...]) -> Outcome[None]:
    """What to say of a rule whose host no service has, hosts `near` it being known."""
    spec = _spec(document)
    fix = nearest(normal(spec.host), near, "a ServiceEntry for")
    message = f"no service is called {spec.host}: the rule is in force for nothing"
    return Outcome(None, (Place(document).at("host").warning("unknown-host", message, fix),))


def is_selective(document: Document) -> bool:
    """Whether a rule is for some workloads only: it speaks for no namespace, and merges with no other."""
    return _spec(document).workload_selector is not None


def selective_rule(document: Document, scope: Scope, defaults: TrafficDefaults) -> Outcome[SelectiveRule]:
    """What such a rule is for those that it selects, in the scope of its namespace."""
    selector = _spec(document).workload_selector
    found = {host: each.service.namespace for host, each in scope.backends.items()}
    host = target(document, Names(found))
    hosts = [each for each, where in found.items() if each == host or (is_wildcard(host) and covers(host, each, where))]
    rule = traffic_rule((document,), defaults)
    backends = {each: Backend(scope.backends[each].service, rule.value) for each in hosts}
    lost = () if hosts else unknown_host(document, neighbours(normal(_spec(document).host), sorted(found))).problems
    made = SelectiveRule(document.namespace, sorted_labels(selector.match_labels if selector else {}), backends)
    return Outcome(made, (*rule.problems, *lost))


def lost_credentials(document: Document, found: SelectiveRule, credentials: frozenset[str] | None) -> Iterator[Problem]:
    """What to say of credentials that such a rule names and that are not there."""
    where, therefore = Place(document).at("trafficPolicy"), "the calls that need it are answered 503"
    yield from missing_credentials(sorted(found.credentials), credentials, where, therefore)


def traffic_rule(documents: tuple[Document, ...], defaults: TrafficDefaults = ISTIO_TRAFFIC) -> Outcome[TrafficRule]:
    """All rules for one host, merged over the mesh's `defaults`; `documents` in order of precedence."""
    level = _level(
        (written, Place(document).at("trafficPolicy"))
        for document in documents
        if (written := _spec(document).traffic_policy) is not None
    )
    policies = _port_policies(level.whole.sections, level.port_sections, defaults)
    subsets = [
        _subset(written, Place(document).at("subsets", index), level, policies, defaults)
        for document in documents
        for index, written in enumerate(_spec(document).subsets)
    ]
    unique, repeated = _first_of_each(documents, [outcome.value for outcome in subsets])
    problems = [
        *level.problems,
        *(problem for layer in level.layers for problem in _inert_failover(layer)),
        *_dropped_tls(level),
        *(problem for outcome in subsets for problem in outcome.problems),
        *repeated,
    ]
    origins = tuple(document.origin for document in documents)
    return Outcome(TrafficRule(policies, unique, origins, tunnel(level.whole.sections)), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Layer:
    """Sections, each from the first policy that has it, with the place that won."""

    sections: Sections
    places: dict[str, Place]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Level:
    """What is written for a host or for a subset, and for single ports of it."""

    whole: _Layer
    ports: dict[int, _Layer]

    @property
    def layers(self) -> tuple[_Layer, ...]:
        return self.whole, *self.ports.values()

    @property
    def port_sections(self) -> dict[int, Sections]:
        return {number: layer.sections for number, layer in self.ports.items()}

    @property
    def problems(self) -> list[Problem]:
        """What was given twice."""
        return [problem for layer in self.layers for problem in layer.problems]


def _level(policies: Iterable[tuple[TrafficPolicy, Place]]) -> _Level:
    written = list(policies)
    return _Level(_layer(written, SECTIONS), _port_layers(written))


def _layer(written: Iterable[tuple[TrafficPolicy | PortTrafficPolicy, Place]], names: Iterable[str]) -> _Layer:
    """Each section from the first policy that has it; one that another has won already is reported."""
    values: dict[str, object] = {}
    places: dict[str, Place] = {}
    problems = []
    for part, place in written:
        for name in names:
            value = getattr(part, name, None)
            if value is None:
                continue
            here = place.at(istio_name(name))
            if name in values:
                problems.append(_given_twice(here, places[name]))
            else:
                values[name], places[name] = value, here
    return _Layer(Sections(**values), places, tuple(problems))  # type: ignore[arg-type]  # names are Sections' own fields


def _given_twice(loser: Place, winner: Place) -> Problem:
    section = loser.path[-1]
    message = f"{section} for this host is decided by {winner}; this one is not in force"
    fix = "keep one; the order is creationTimestamp, then namespace, then name"
    return loser.warning("duplicate-section", message, fix)


def _port_layers(policies: Iterable[tuple[TrafficPolicy, Place]]) -> dict[int, _Layer]:
    """The settings of each port, whole from the first policy that has the port."""
    found: dict[int, _Layer] = {}
    for written, place in policies:
        for index, setting in enumerate(written.port_level_settings):
            here = place.at("portLevelSettings", index)
            number = setting.port.number
            if number in found:
                winner = next(iter(found[number].places.values()))
                found[number] = replace(
                    found[number], problems=(*found[number].problems, _given_twice(here.at("port"), winner))
                )
            else:
                found[number] = _layer([(setting, here)], PORT_SECTIONS)
    return found


def _port_policies(level: Sections, ports: dict[int, Sections], defaults: TrafficDefaults) -> PortPolicies:
    """The settings of a port replace all that is written around them."""
    by_port = tuple((number, traffic_policy(sections, defaults)) for number, sections in sorted(ports.items()))
    return PortPolicies(traffic_policy(level, defaults), by_port)


def _subset(
    written: policy.Subset, place: Place, level: _Level, policies: PortPolicies, defaults: TrafficDefaults
) -> Outcome[Subset]:
    """A subset's sections lie over the service's, port by port; its own port settings lie over that."""
    labels = sorted_labels(written.labels)
    if written.traffic_policy is None:
        return Outcome(Subset(written.name, labels, policies))
    own = _level([(written.traffic_policy, place.at("trafficPolicy"))])
    around = level.port_sections
    by_port = {
        number: _with_port(
            _over(own.whole.sections, around.get(number, level.whole.sections)), own.port_sections.get(number)
        )
        for number in (*around, *own.ports)
    }
    whole = replace(own.whole, sections=_over(own.whole.sections, level.whole.sections))
    resolved = _port_policies(whole.sections, by_port, defaults)
    subset = Subset(written.name, labels, resolved, tunnel(own.whole.sections))
    return Outcome(subset, tuple(_inert_failover(whole)))


def _over(upper: Sections, lower: Sections) -> Sections:
    return replace(lower, **{name: value for name in SECTIONS if (value := getattr(upper, name)) is not None})


def _with_port(around: Sections, port: Sections | None) -> Sections:
    """Load balancer, pools, outlier detection and TLS become the port's, written or not (Istio's rule)."""
    if port is None:
        return around
    return replace(around, **{name: getattr(port, name) for name in PORT_SECTIONS})


def _first_of_each(
    documents: Iterable[Document], subsets: Iterable[Subset]
) -> tuple[tuple[Subset, ...], list[Problem]]:
    """Subsets by name; one that an earlier document has defined already is reported."""
    places = [Place(document).at("subsets", i) for document in documents for i in range(len(_spec(document).subsets))]
    found: dict[str, tuple[Subset, Place]] = {}
    problems = []
    for subset, place in zip(subsets, places, strict=True):
        if subset.name in found:
            message = f"subset {subset.name} is defined by {found[subset.name][1]}; this one is not in force"
            problems.append(place.at("name").warning("duplicate-subset", message, "keep one, or rename it"))
        else:
            found[subset.name] = subset, place
    return tuple(subset for subset, _ in found.values()), problems


def _inert_failover(layer: _Layer) -> list[Problem]:
    place = layer.places.get("load_balancer")
    if place is None or not layer.sections.fails_over_in_vain:
        return []
    message = "failover does nothing without outlierDetection, which finds out that endpoints fail"
    fix = "add outlierDetection: {} or one with your own limits"
    return [place.at("localityLbSetting", "failover").warning("inert-failover", message, fix)]


def _dropped_tls(level: _Level) -> list[Problem]:
    """Settings of a port replace all around them: the tls too, which few expect."""
    if level.whole.sections.tls is None:
        return []
    return [
        next(iter(layer.places.values())).warning(
            "port-drops-tls",
            f"the settings of port {number} replace the policy around them, its tls included",
            "repeat tls in the settings of this port",
        )
        for number, layer in level.ports.items()
        if layer.sections.tls is None
    ]


def _subset_traps(service: Service, documents: tuple[Document, ...]) -> tuple[Problem, ...]:
    if service.resolution is Resolution.DYNAMIC_DNS:
        message = f"endpoints of {service.host} are looked up by the name of each request: this is the whole service"
        return tuple(
            Place(document).at("subsets", index, "labels").warning("no-effect", message, "remove the labels")
            for document in documents
            for index, subset in enumerate(_spec(document).subsets)
            if subset.labels
        )
    if not service.endpoints:
        return ()
    return tuple(
        Place(document)
        .at("subsets", index, "labels")
        .warning(
            "subset-selects-nothing",
            f"no endpoint of {service.host} carries the labels of subset {subset.name}: its requests are answered 503",
            "correct the labels, here or at the endpoints",
        )
        for document in documents
        for index, subset in enumerate(_spec(document).subsets)
        if not any(labels_match(sorted_labels(subset.labels), endpoint.labels) for endpoint in service.endpoints)
    )


def _spec(document: Document) -> DestinationRuleSpec:
    return cast("DestinationRuleSpec", document.spec)
