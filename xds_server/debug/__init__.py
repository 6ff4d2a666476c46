"""The HTTP edge: readiness, metrics and debug endpoints."""
