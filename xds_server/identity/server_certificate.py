"""The control plane's own certificate: made in memory, renewed when it is asked for and due."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from xds_server.identity.authority import LEAF_LIFETIME, Authority, Leaf, Use, new_key, sign
from xds_server.identity.principal import CONTROL_PLANE_DNS, control_plane_uri
from xds_server.identity.rotation import Random, renewal_time
from xds_server.identity.svid import Svid
from xds_server.mesh.identity import TrustDomain


class ServerCertificate:
    """Asked by gRPC's threads at every new connection.

    Args:
        authority: the node authority, whose root every node was given when it was enrolled.
        domain: whose control plane this is.
        clock: the time, aware.
        random: for the jitter of renewals.
    """

    def __init__(
        self, authority: Authority, domain: TrustDomain, *, clock: Callable[[], datetime], random: Random
    ) -> None:
        self._authority = authority
        self._leaf = Leaf(control_plane_uri(domain), LEAF_LIFETIME, Use.SERVER, (CONTROL_PLANE_DNS,))
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._current, self._renew_at = self._made()

    def current(self) -> Svid:
        """The certificate to show; the same object until it is renewed."""
        with self._lock:
            if self._clock() >= self._renew_at:
                self._current, self._renew_at = self._made()
            return self._current

    def _made(self) -> tuple[Svid, datetime]:
        now, key = self._clock(), new_key()
        certificate = sign(self._authority, key.public_key(), self._leaf, now)
        until = renewal_time(now, certificate.not_valid_after_utc, self._random)
        return Svid((certificate, *self._authority.presented), key, self._authority.roots), until
