"""What the policies mean: frozen dataclasses with every default filled in. Standard library only; no YAML, no Envoy."""
