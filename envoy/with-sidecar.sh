#!/bin/bash
# Runs an application behind a sidecar in one container, of which there may be several.
# Usage: with-sidecar.sh BOOTSTRAP COMMAND…
#
# Needs root and NET_ADMIN for the rules; neither Envoy nor the application keeps them, and the application, as another
# user, cannot read the sidecar's key. When one of the two ends, so does the container: no half of it is left to run.
#
# Which of several it is, its host name says: NAME in the node id of the bootstrap becomes NAME@HOSTNAME.
#
# A bootstrap made with --group registers the container as an endpoint while its Envoy is connected. So Envoy starts
# when the application listens, and on SIGTERM it says that it is about to go, which the server hears with its next
# report (--metrics-interval), and serves until its callers have turned to others. Those that have not heard, because the
# server is away, then find the door closed and try another. What is being served is finished, and the application ends.
set -eu
START_SECONDS=${START_SECONDS:-10}    # Envoy starts after that at the latest; 0 where the application calls others first
LEAVE_SECONDS=${LEAVE_SECONDS:-5}     # its callers have that long to hear of it; Docker kills all after 10
ADMIN_PORT=${ADMIN_PORT:-15000}       # of Envoy
APPLICATION_UID=65534
PROXY_UID=1337                        # as in redirect.sh
bootstrap=$1
shift

node_id() { sed -En "s/^  id: (.*~.*~[^~]*)(\.[^.~]*~.*)$/\1@$HOSTNAME\2/p" "$bootstrap"; }

run_as() { exec setpriv --reuid "$1" --regid "$1" --clear-groups --no-new-privs "${@:2}"; }

listens() {    # state 0A is LISTEN
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v uid=$APPLICATION_UID '$4 == "0A" && $8 == uid { found = 1 } END { exit !found }'
}

await_application() {
    local end=$((SECONDS + START_SECONDS))
    until listens || ! kill -0 "$application" 2>/dev/null || ((SECONDS >= end)); do sleep 0.05; done
}

ask_envoy() {
    exec 3<>"/dev/tcp/127.0.0.1/$ADMIN_PORT"
    printf '%s %s HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
    cat <&3
}

served() { ask_envoy GET '/stats?filter=^http.inbound.*downstream_rq_(.xx|active)' | grep downstream_rq; }

await_callers() {    # until nothing is being served, and nothing has been for a second
    local end=$((SECONDS + LEAVE_SECONDS)) before after
    sleep 2
    while ((SECONDS < end)); do
        before=$(served)
        sleep 1
        after=$(served)
        if [[ $after == "$before" && $after != *active:\ [1-9]* ]]; then break; fi
    done
}

leave() {
    trap '' TERM
    set +e
    if (ask_envoy POST /healthcheck/fail) >/dev/null; then
        await_callers
        (ask_envoy POST '/drain_listeners?inboundonly') >/dev/null
        sleep 1
    fi
    kill "$application" && wait "$application"
    exit 0
}

sh /redirect.sh
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
trap leave TERM
run_as $APPLICATION_UID "$@" &
application=$!
await_application
run_as $PROXY_UID envoy -c "$bootstrap" --service-node "$(node_id)" -l warn --concurrency 1 &
wait -n
