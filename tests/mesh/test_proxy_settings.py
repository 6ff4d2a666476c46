"""What every proxy of the mesh is told alike."""

from __future__ import annotations

from tests.builders import compiled, entry, istio, workload
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS
from xds_server.mesh.view import view_for


def test_sidecars_and_routers_have_the_settings_of_the_mesh() -> None:
    config = istio("MeshConfig", "pathNormalization: {normalization: NONE}").replace("/v1\n", "/v1alpha1\n")
    mesh, _ = compiled(config + entry())

    assert view_for(mesh, workload()).settings is mesh.settings
    assert mesh.settings.path_normalization == "NONE"


def test_without_a_mesh_config_they_are_istios() -> None:
    assert view_for(compiled(entry())[0], workload()).settings is ISTIO_SETTINGS
