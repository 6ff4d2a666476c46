"""The control plane dies without a farewell, again and again, while requests flow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from tests.envoy.running import until
from tests.faults.policies import route, service
from tests.faults.site import HOST, Site, await_written
from xds_server.bootstrap import Api

KILLS = 10
MOVES = 5
_UNTOUCHED = (
    r"listener_manager\.(total_listeners_draining|listener_modified|listener_removed|listener_in_place_updated)$"
)


def test_server_killed_under_load_fails_no_request_and_resends_no_cluster_or_listener(
    site: Site, figure: Callable[[str], None]
) -> None:
    """Each restart finds both Envoys back in step with no word of CDS and LDS, and takes an edit made meanwhile."""
    before = [one.stats(_UNTOUCHED) for one in site.envoys]
    resent, ready, in_step = 0.0, [], []
    with site.load() as flows:
        for _ in range(KILLS):
            site.control.kill()
            began = time.monotonic()
            site.control.start()
            ready.append(time.monotonic() - began)
            site.await_in_step()
            in_step.append(time.monotonic() - began - ready[-1])
            resent += site.metric("xds_server_pushes_total", type="CDS") + site.metric(
                "xds_server_pushes_total", type="LDS"
            )
        site.control.kill()
        site.apply("late", service("late", [site.traffic.backend("late")]) + route("late", "late"))
        site.control.start()
        site.await_service("late")

    total, failed = sum(flow.total for flow in flows), sum(sum(flow.failed.values()) for flow in flows)
    figure(
        f"{KILLS} SIGKILLs: {failed} of {total} requests failed, "
        f"ready after {statistics.median(ready):.1f} s, in step {statistics.median(in_step):.1f} s later (medians), "
        f"{max(in_step):.1f} s at most"
    )

    assert [flow.failed for flow in flows] == [{}, {}]
    assert all(flow.bodies[HOST] > KILLS for flow in flows)
    assert resent == 0
    assert [one.stats(_UNTOUCHED) for one in site.envoys] == before


@pytest.mark.parametrize("api", Api)
def test_route_that_moved_while_the_server_was_down_fails_no_request(
    api: Api, site: Site, figure: Callable[[str], None]
) -> None:
    """A server that starts again leaves what Envoy holds in place until its routes are new.

    By delta Envoy says what it holds; of SotW the server has written it down.
    """
    envoys = dict(zip(Api, site.envoys, strict=True))
    host = f"moving-{api}"
    ports = [site.traffic.backend(f"{host} {number}") for number in range(MOVES + 1)]
    site.apply(host, _moving(host, ports, 0))
    site.await_service(host)
    with site.traffic.flow(envoys[api].proxy_port, host) as flow:
        for number in range(1, MOVES + 1):
            await_written(envoys[Api.SOTW], f"{host}-home-{number - 1}")
            site.control.kill()
            site.apply(host, _moving(host, ports, number))
            site.control.start()
            until(lambda number=number: flow.bodies[f"{host} {number}"] > 0, what=f"move {number}")  # type: ignore[misc]  # a loop variable
            site.await_in_step()
    failed = sum(flow.failed.values())
    figure(f"{MOVES} moves by {api} while the server was down: {failed} of {flow.total} requests failed")

    assert flow.failed == {}


def _moving(host: str, ports: list[int], number: int) -> str:
    """A host that leads to a service of its own, which no other move has."""
    home = f"{host}-home-{number}"
    return service(host, [ports[number]]) + service(home, [ports[number]]) + route(host, home)
