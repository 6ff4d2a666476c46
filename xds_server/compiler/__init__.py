"""Policy documents to mesh: precedence, merging, defaults and cross references, one module per Istio kind."""
