"""Edge: who a workload is, proved. Certificates, keys and what is kept of them on disk; no gRPC, no Envoy."""
