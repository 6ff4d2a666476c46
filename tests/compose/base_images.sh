#!/bin/sh
# Makes the three base images that docker-compose.yml and its Dockerfiles name, where no image registry can be reached.
# Usage: base_images.sh ENVOY_BINARY.  Needs root, debootstrap and a Docker engine; about a minute. Images that exist stay.
set -eu
envoy=$1

have() { docker image inspect "$1" >/dev/null 2>&1; }
# The official image has Python as a library too, which the collector is linked with.
has_library() { docker run --rm python:3.11-slim sh -c 'ldconfig -p | grep -q libpython3.11' 2>/dev/null; }

if ! have debian:bookworm-slim || ! have python:3.11-slim || ! has_library; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,libpython3.11,ca-certificates bookworm "$root" >/dev/null
  # What this machine trusts, so that pip works behind its proxy too.
  if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
  tar -C "$root" -c . | docker import - debian:bookworm-slim >/dev/null
  # Bookworm's own Python is 3.11. Debian keeps pip out of it; the official image does not.
  docker build -q -t python:3.11-slim - >/dev/null <<'DOCKERFILE'
FROM debian:bookworm-slim
ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt
DOCKERFILE
fi

if ! have envoyproxy/envoy:v1.40.0; then
  context=$(mktemp -d)
  ln "$envoy" "$context/envoy" 2>/dev/null || cp "$envoy" "$context/envoy"
  printf 'FROM debian:bookworm-slim\nCOPY envoy /usr/local/bin/envoy\nCMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]\n' >"$context/Dockerfile"
  docker build -q -t envoyproxy/envoy:v1.40.0 "$context" >/dev/null
  rm -rf "$context"
fi
