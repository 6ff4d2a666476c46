"""A view to Envoy resources: the only package (with server/wire.py) that imports envoy_data_plane."""
