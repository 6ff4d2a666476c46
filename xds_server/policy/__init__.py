"""What a user may write: pydantic models, one module per Istio kind, in Istio's field names. No I/O, no Envoy."""
