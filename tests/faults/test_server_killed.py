"""The control plane dies without a farewell, again and again, while requests flow."""

from __future__ import annotations

from tests.faults.policies import route, service
from tests.faults.site import HOST, Site

KILLS = 20
_UNTOUCHED = (
    r"listener_manager\.(total_listeners_draining|listener_modified|listener_removed|listener_in_place_updated)$"
)


def test_server_killed_under_load_fails_no_request_and_resends_no_cluster_or_listener(site: Site) -> None:
    """Each restart finds both Envoys back in step with no word of CDS and LDS, and takes an edit made meanwhile."""
    before = [one.stats(_UNTOUCHED) for one in site.envoys]
    resent = 0.0
    with site.load() as flows:
        for _ in range(KILLS):
            site.control.kill()
            site.control.start()
            site.await_in_step()
            resent += site.metric("xds_server_pushes_total", type="CDS") + site.metric(
                "xds_server_pushes_total", type="LDS"
            )
        site.control.kill()
        site.apply("late", service("late", [site.traffic.backend("late")]) + route("late", "late"))
        site.control.start()
        site.await_service("late")

    assert [flow.failed for flow in flows] == [{}, {}]
    assert all(flow.bodies[HOST] > KILLS for flow in flows)
    assert resent == 0
    assert [one.stats(_UNTOUCHED) for one in site.envoys] == before
