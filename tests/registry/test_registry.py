"""Who has registered, as time passes."""

from __future__ import annotations

from dataclasses import replace

from xds_server.mesh.registration import Registration
from xds_server.registry.registry import Registry

ONE, OTHER = Registration("default", "web", "10.0.0.1"), Registration("default", "web", "10.0.0.2")


def seen(registry: Registry) -> list[tuple[str, bool]]:
    """(address, draining) of each."""
    return [(found.address, found.draining) for found in registry.registrations]


def with_two() -> Registry:
    registry = Registry(grace=10)
    registry.join("stream 1", ONE)
    registry.join("stream 2", OTHER)
    return registry


def test_workload_is_there_while_a_stream_of_its_proxy_is() -> None:
    registry = with_two()
    registry.join("stream 3", ONE)
    registry.leave("stream 1", 0)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]
    assert registry.due is None


def test_workload_that_left_drains_and_is_forgotten_after_the_grace() -> None:
    registry = with_two()
    registry.leave("stream 1", 5)
    registry.expire(14.9)

    assert seen(registry) == [("10.0.0.1", True), ("10.0.0.2", False)]
    assert registry.due == 15

    registry.expire(15)

    assert seen(registry) == [("10.0.0.2", False)]


def test_workload_that_comes_back_in_time_is_in_use_again() -> None:
    registry = with_two()
    registry.leave("stream 1", 0)
    registry.join("stream 3", ONE)
    registry.expire(100)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]


def test_workload_that_is_about_to_go_drains_until_it_says_otherwise() -> None:
    """It is still there, and nothing is to be forgotten."""
    registry = with_two()
    registry.says(ONE.key, live=False)

    assert seen(registry) == [("10.0.0.1", True), ("10.0.0.2", False)]
    assert registry.due is None

    registry.says(ONE.key, live=True)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]


def test_workload_that_said_it_would_go_and_is_back_is_in_use() -> None:
    registry = with_two()
    registry.says(ONE.key, live=False)
    registry.leave("stream 1", 0)
    registry.join("stream 3", ONE)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]


def test_workload_that_is_about_to_go_after_a_restart_of_ours_drains_before_its_stream_is_back() -> None:
    registry = Registry(grace=10)
    registry.restore([ONE, OTHER], until=20)
    registry.says(ONE.key, live=False)

    assert seen(registry) == [("10.0.0.1", True), ("10.0.0.2", False)]
    assert registry.due == 20


def test_group_all_of_which_is_about_to_go_stays_in_use() -> None:
    registry = with_two()
    for each in (ONE, OTHER):
        registry.says(each.key, live=False)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]


def test_nobody_says_for_an_account_of_others_that_it_goes() -> None:
    """Nor for a workload that is not there."""
    registry = with_two()
    registry.says(replace(ONE, service_account="other").key, live=False)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]


def test_workload_of_another_account_at_the_same_address_is_another() -> None:
    """Else whoever may enrol in a namespace could put itself in the place of each endpoint there."""
    registry = with_two()
    registry.join("stream 3", replace(ONE, service_account="other"))

    assert registry.registrations == (ONE, replace(ONE, service_account="other"), OTHER)


def test_group_that_leaves_whole_stays_in_use_for_the_grace() -> None:
    """Its network is more likely to have failed than all of it, and no endpoint is worse than a dead one."""
    registry = with_two()
    registry.leave("stream 1", 0)
    registry.leave("stream 2", 1)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]

    registry.expire(10)

    assert seen(registry) == [("10.0.0.2", False)]


def test_what_a_proxy_says_last_holds() -> None:
    """A container that is started anew may carry another version at the same address."""
    registry = Registry()
    registry.join("stream 1", ONE)
    registry.join("stream 2", Registration("default", "web", "10.0.0.1", labels=(("version", "v2"),)))

    assert [found.labels for found in registry.registrations] == [(("version", "v2"),)]


def test_restored_workload_is_in_use_until_it_should_be_back() -> None:
    registry = Registry(grace=10)
    registry.restore([ONE, OTHER], until=110)
    registry.join("stream 1", ONE)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]

    registry.expire(110)

    assert seen(registry) == [("10.0.0.1", False)]


def test_end_of_a_stream_of_no_workload_changes_nothing() -> None:
    registry = with_two()
    registry.leave("another", 0)

    assert seen(registry) == [("10.0.0.1", False), ("10.0.0.2", False)]


def test_what_outlives_a_restart_is_what_was_registered() -> None:
    registry = with_two()
    registry.leave("stream 1", 0)

    assert registry.known == (ONE, OTHER)
