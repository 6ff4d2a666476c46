"""Who is kept out for what Envoy refuses, and who is let back in. Each test says of what Envoy refuses the unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.builders import documents, entry, istio
from xds_server.policy.document import Document, PolicySet
from xds_server.quarantine import Quarantine
from xds_server.translate.unit import Unit, UnitKind
from xds_server.trial import Cases
from xds_server.validation.validator import Refused


def one_of_each() -> list[Document]:
    """Five documents that one listener is made of, likeliest to be at fault first."""
    texts = [
        istio("Telemetry", "tracing: [{}]", name="a"),
        istio("VirtualService", "hosts: [a], http: [{route: [{destination: {host: a}}]}]", name="a"),
        istio("DestinationRule", "host: a", name="a"),
        entry("a"),
        istio("MeshConfig", "", name="mesh").replace("/v1\n", "/v1alpha1\n"),
    ]
    return [documents(text)[0] for text in texts]


def reasons(*bad: str) -> Callable[[Sequence[Document]], str]:
    """An Envoy that refuses a listener with any document of these kinds in it, and names the first."""
    return lambda free: next((document.kind for document in free if document.kind in bad), "")


def judged(
    state: Sequence[Document], said: Callable[[Sequence[Document]], str], quarantine: Quarantine
) -> tuple[bool, int]:
    """Ask until it is taken, or nobody is left to blame: whether it is taken, and after how many questions."""
    cases, asked = Cases(quarantine), 0
    while True:
        free = list(quarantine.applied(PolicySet(tuple(state))).documents)
        asked += 1
        reason = said(free)
        unit = Unit(UnitKind.LISTENER, "0.0.0.0_80", str(asked), b"", origins=tuple(one.origin for one in state))
        if not reason:
            if not cases.let_back():
                return True, asked
        elif not cases.convict(Refused(unit, reason)) and not cases.try_next(Refused(unit, reason), state):
            cases.give_up(Refused(unit, reason))
            return False, asked


def held(quarantine: Quarantine) -> list[str]:
    return [one.document.kind for one in quarantine.held]


def test_one_at_fault_is_kept_out_alone() -> None:
    state, quarantine = one_of_each(), Quarantine()

    assert judged(state, reasons("ServiceEntry"), quarantine) == (True, 8)
    assert held(quarantine) == ["ServiceEntry"]


def test_two_at_fault_together_are_kept_out_and_no_other() -> None:
    state, quarantine = one_of_each(), Quarantine()

    taken, asked = judged(state, reasons("MeshConfig", "VirtualService"), quarantine)

    assert taken
    assert held(quarantine) == ["MeshConfig", "VirtualService"]
    assert asked == 11


def test_what_others_speak_of_is_not_blamed_for_what_they_say() -> None:
    """Without a MeshConfig there is no such log, and without the service no listener: Envoy would take that too."""

    def said(free: Sequence[Document]) -> str:
        kinds = {document.kind for document in free}
        faults = kinds & {"Telemetry", "DestinationRule"}
        return min(faults, default="") if {"MeshConfig", "ServiceEntry"} <= kinds else ""

    state, quarantine = one_of_each(), Quarantine()

    assert judged(state, said, quarantine)[0]
    assert held(quarantine) == ["DestinationRule", "Telemetry"]


def test_each_of_two_at_fault_is_told_what_is_wrong_with_it() -> None:
    state, quarantine = one_of_each(), Quarantine()
    judged(state, reasons("DestinationRule", "Telemetry"), quarantine)

    said = {one.document.kind: one.problem.message.partition(";")[0] for one in quarantine.held}
    assert said == {kind: f"Envoy refuses listener 0.0.0.0_80: {kind}" for kind in ("DestinationRule", "Telemetry")}


def test_what_is_refused_whoever_is_kept_out_keeps_nobody_out() -> None:
    state, quarantine = one_of_each(), Quarantine()

    assert judged(state, lambda _: "a defect of ours", quarantine) == (False, 6)
    assert held(quarantine) == []


def test_what_is_refused_for_another_unit_convicts_nobody_who_was_let_back_in() -> None:
    state, quarantine = one_of_each(), Quarantine()
    cases, bad = Cases(quarantine), Refused(Unit(UnitKind.LISTENER, "a", "1", b"", origins=(state[0].origin,)), "")
    cases.try_next(bad, state)
    other = Refused(Unit(UnitKind.CLUSTER, "b", "1", b"", origins=(state[3].origin,)), "")

    assert not cases.let_back()
    assert not cases.convict(other)
    assert cases.try_next(other, state)
    assert held(quarantine) == ["ServiceEntry", "Telemetry"]


def test_only_who_was_let_back_in_last_is_convicted() -> None:
    state, quarantine = one_of_each(), Quarantine()
    origins = tuple(document.origin for document in state)
    one, other = (Refused(Unit(UnitKind.LISTENER, name, "1", b"", origins=origins), "") for name in "ab")
    cases = Cases(quarantine)
    cases.try_next(one, state)
    cases.try_next(other, state)
    cases.try_next(other, state)
    assert cases.let_back()
    cases.try_next(one, state)
    assert cases.let_back()

    assert held(quarantine) == ["DestinationRule", "VirtualService"]
    assert not cases.convict(other)


def test_nothing_stays_kept_out_when_nothing_was_found_out() -> None:
    state, quarantine = one_of_each(), Quarantine()
    cases = Cases(quarantine)
    cases.try_next(Refused(Unit(UnitKind.LISTENER, "a", "1", b"", origins=(state[0].origin,)), ""), state)
    cases.withdraw()

    assert held(quarantine) == []
