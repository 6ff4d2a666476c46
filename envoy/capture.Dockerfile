# Sets the iptables rules that send an application's traffic to the sidecar beside it, and ends.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*
COPY redirect.sh /redirect.sh
ENTRYPOINT ["sh", "/redirect.sh"]
