"""What to say of credentials that are not in the secrets directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xds_server.compiler.finding import Place, nearest
from xds_server.mesh.credential import ROOTS_SUFFIX
from xds_server.problem import Problem


def missing_credentials(
    needed: Iterable[str], credentials: frozenset[str] | None, place: Place, therefore: str
) -> Iterator[Problem]:
    """An error for each name that is not there; one for all of them without a directory.

    Args:
        needed: names, see `CredentialSet.names`.
        credentials: those in the secrets directory; None when there is no such directory.
        place: where they are asked for.
        therefore: what becomes of that.
    """
    for name in needed:
        if credentials is None:
            message = f"there is no secrets directory to find {name} in: {therefore}"
            yield place.error("unknown-credential", message, "start the server with --secrets DIR")
            return
        if name not in credentials:
            yield place.error("unknown-credential", f"{_lacks(name)}: {therefore}", _nearest(name, credentials))


def _lacks(name: str) -> str:
    bare = name.removesuffix(ROOTS_SUFFIX)
    return f"credential {bare} has no ca.crt" if bare != name else f"there is no credential {name}"


def _nearest(name: str, credentials: frozenset[str]) -> str:
    known = sorted(each for each in credentials if not each.endswith(ROOTS_SUFFIX))
    return nearest(name.removesuffix(ROOTS_SUFFIX), known, "in the secrets directory")
