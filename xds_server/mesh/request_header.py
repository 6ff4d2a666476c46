"""Headers that no route ever sees, whoever sends them: Envoy takes them off before it looks for a route.

They say to Envoy itself what to do, and it believes internal callers only, of which nobody is one without an
`internal_address_config`. Source: Envoy, "HTTP header sanitizing"; asked of a real Envoy, each by itself.
"""

from __future__ import annotations

_NAMES = "force-trace hedge-on-per-try-timeout internal ip-tags max-retries original-url retriable-header-names \
retriable-status-codes retry-on retry-grpc-on upstream-alt-stat-name upstream-rq-per-try-timeout-ms \
upstream-rq-timeout-alt-response upstream-rq-timeout-ms upstream-stream-duration-ms expected-rq-timeout-ms"
NEVER_SEEN = frozenset(f"x-envoy-{name}" for name in _NAMES.split())
"""In lower case."""
