"""Generated from protos/ by `make protos`: never edit, never import but from server/."""
