"""The gRPC edge: streams in, streams out."""

import os

# Before any module here imports gRPC, which reads it once: see `tls.py`.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"
