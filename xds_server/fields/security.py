"""PeerAuthentication: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, Rows, becomes, decides, refused
from xds_server.policy import peer_authentication as p
from xds_server.policy.values import LabelSelector

SECURITY: Rows = {
    p.PeerAuthenticationSpec: {
        "selector": BLOCK,
        "targetRefs": refused("never applies to a sidecar"),
        "mtls": BLOCK,
        "portLevelMtls": becomes("FilterChainMatch.destination_port", "FilterChain.transport_socket"),
    },
    LabelSelector: {"matchLabels": decides("the workloads that it is for", "all")},
    p.MutualTLS: {
        "mode": becomes("FilterChain.transport_socket", "FilterChainMatch.transport_protocol", default="PERMISSIVE"),
    },
}
