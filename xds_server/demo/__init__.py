"""The running example on one machine: real Envoys, real applications, and a story that checks itself."""
