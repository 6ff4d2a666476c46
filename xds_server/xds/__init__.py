"""The xDS protocol without I/O: synchronous, standard library only, ignorant of Envoy's messages and of gRPC."""
