#!/bin/sh
# Captures the TCP traffic of this network namespace for the Envoy in it; what istio-iptables does in a pod.
#
#   outbound  every connection but the proxy's own and those to loopback goes to port 15001 (listener virtualOutbound)
#   inbound   every connection but those to the proxy's own ports goes to port 15006 (listener virtualInbound)
#   DNS       with DNS_CAPTURE=true every query over UDP but the proxy's own goes to port 15053 (listener dns)
#
# Needs NET_ADMIN and iptables. May be run again: it replaces its rules. `redirect.sh remove` takes them away.
# IPv6 is left alone: the listeners are IPv4.
set -eu

PROXY_UID=${PROXY_UID:-1337}                          # the user that Envoy runs as; its traffic must not come back to it
OUTBOUND_PORT=${OUTBOUND_PORT:-15001}
INBOUND_PORT=${INBOUND_PORT:-15006}
DNS_CAPTURE=${DNS_CAPTURE:-false}                      # as the node's metadata says: without its listener no query is answered
DNS_PORT=${DNS_PORT:-15053}
PROXY_PORTS=${PROXY_PORTS:-15000,15001,15006,15008,15020,15021,15090}    # admin, capture, health, metrics
EXCLUDE_INBOUND_PORTS=${EXCLUDE_INBOUND_PORTS:-}      # more ports, with commas between, at most 8
EXCLUDE_OUTBOUND_PORTS=${EXCLUDE_OUTBOUND_PORTS:-}    # ports, with commas between, at most 15
EXCLUDE_OUTBOUND_CIDRS=${EXCLUDE_OUTBOUND_CIDRS:-}    # networks, with commas between

nat() { iptables -w 10 -t nat "$@"; }

remove() {
    for chain in PREROUTING:XDS_INBOUND OUTPUT:XDS_OUTBOUND; do
        while nat -D "${chain%:*}" -p tcp -j "${chain#*:}" 2>/dev/null; do :; done
        nat -F "${chain#*:}" 2>/dev/null || continue
        nat -X "${chain#*:}"
    done
    while nat -D OUTPUT -p udp --dport 53 -j XDS_DNS 2>/dev/null; do :; done
    nat -F XDS_DNS 2>/dev/null && nat -X XDS_DNS || :
}

redirect_outbound() {
    nat -N XDS_OUTBOUND
    nat -A XDS_OUTBOUND -m owner --uid-owner "$PROXY_UID" -j RETURN
    nat -A XDS_OUTBOUND -o lo -j RETURN
    nat -A XDS_OUTBOUND -d 127.0.0.0/8 -j RETURN
    if [ -n "$EXCLUDE_OUTBOUND_CIDRS" ]; then nat -A XDS_OUTBOUND -d "$EXCLUDE_OUTBOUND_CIDRS" -j RETURN; fi
    if [ -n "$EXCLUDE_OUTBOUND_PORTS" ]; then
        nat -A XDS_OUTBOUND -p tcp -m multiport --dports "$EXCLUDE_OUTBOUND_PORTS" -j RETURN
    fi
    nat -A XDS_OUTBOUND -p tcp -j REDIRECT --to-ports "$OUTBOUND_PORT"
    nat -A OUTPUT -p tcp -j XDS_OUTBOUND
}

redirect_inbound() {
    nat -N XDS_INBOUND
    nat -A XDS_INBOUND -p tcp -m multiport --dports "$PROXY_PORTS${EXCLUDE_INBOUND_PORTS:+,$EXCLUDE_INBOUND_PORTS}" -j RETURN
    nat -A XDS_INBOUND -p tcp -j REDIRECT --to-ports "$INBOUND_PORT"
    nat -A PREROUTING -p tcp -j XDS_INBOUND
}

redirect_dns() {
    nat -N XDS_DNS
    nat -A XDS_DNS -m owner --uid-owner "$PROXY_UID" -j RETURN
    nat -A XDS_DNS -p udp -j REDIRECT --to-ports "$DNS_PORT"
    nat -I OUTPUT 1 -p udp --dport 53 -j XDS_DNS    # before Docker's rules, which take what is sent to 127.0.0.11
}

remove
if [ "${1:-set}" != remove ]; then
    redirect_outbound
    redirect_inbound
    if [ "$DNS_CAPTURE" = true ]; then redirect_dns; fi
    nat -S | grep XDS_
fi
