"""Where policies are kept: reading a directory of YAML files and noticing that it changed."""
