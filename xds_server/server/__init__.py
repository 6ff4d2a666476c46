"""The gRPC edge: streams in, streams out."""
