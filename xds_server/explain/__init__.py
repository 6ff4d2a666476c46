"""Which way traffic takes through a proxy, by what the proxy was sent and Envoy's own rules."""
