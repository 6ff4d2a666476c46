# Python with a sidecar in the same container, for services of which there are several: see with-sidecar.sh.
FROM envoyproxy/envoy:v1.40.0 AS envoy
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*
COPY --from=envoy /usr/local/bin/envoy /usr/local/bin/envoy
COPY redirect.sh with-sidecar.sh /
ENTRYPOINT ["bash", "/with-sidecar.sh"]
