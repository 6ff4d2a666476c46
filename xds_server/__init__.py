"""Istio's API from plain files, for stock Envoy, with no Kubernetes.

Importing the package does nothing but name its version.
"""

__version__ = "0.1.0"
