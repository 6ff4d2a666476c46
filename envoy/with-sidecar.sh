#!/bin/bash
# Runs an application behind a sidecar in one container. Usage: with-sidecar.sh BOOTSTRAP COMMAND…
#
# Needs root and NET_ADMIN for the rules; neither Envoy nor the application keeps them, and the application, as another
# user, cannot read the sidecar's key. When one of the two ends, so does the container: no half of it is left to run.
set -eu
bootstrap=$1
shift

sh /redirect.sh
setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "$@" &
setpriv --reuid 1337 --regid 1337 --clear-groups --no-new-privs envoy -c "$bootstrap" -l warn --concurrency 1 &
trap 'kill $(jobs -p); wait' EXIT
trap exit TERM
wait -n
