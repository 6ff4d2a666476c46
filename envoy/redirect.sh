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
PROXY_PORTS=${PROXY_PORTS:-15000,$OUTBOUND_PORT,$INBOUND_PORT,15008,15020,15021,15090}    # admin, capture, health, metrics
EXCLUDE_INBOUND_PORTS=${EXCLUDE_INBOUND_PORTS:-}      # more ports, with commas between, at most 8
EXCLUDE_OUTBOUND_PORTS=${EXCLUDE_OUTBOUND_PORTS:-}    # ports, with commas between, at most 15
EXCLUDE_OUTBOUND_CIDRS=${EXCLUDE_OUTBOUND_CIDRS:-}    # networks, with commas between

rules_now() { iptables -w 10 -t nat -S; }

chains() {
    echo XDS_OUTBOUND
    echo XDS_INBOUND
    if [ "$DNS_CAPTURE" = true ]; then echo XDS_DNS; fi
}

outbound() {
    echo "-A XDS_OUTBOUND -m owner --uid-owner $PROXY_UID -j RETURN"
    echo "-A XDS_OUTBOUND -o lo -j RETURN"
    echo "-A XDS_OUTBOUND -d 127.0.0.0/8 -j RETURN"
    if [ -n "$EXCLUDE_OUTBOUND_CIDRS" ]; then echo "-A XDS_OUTBOUND -d $EXCLUDE_OUTBOUND_CIDRS -j RETURN"; fi
    if [ -n "$EXCLUDE_OUTBOUND_PORTS" ]; then
        echo "-A XDS_OUTBOUND -p tcp -m multiport --dports $EXCLUDE_OUTBOUND_PORTS -j RETURN"
    fi
    echo "-A XDS_OUTBOUND -p tcp -j REDIRECT --to-ports $OUTBOUND_PORT"
    echo "-A OUTPUT -p tcp -j XDS_OUTBOUND"
}

inbound() {
    echo "-A XDS_INBOUND -p tcp -m multiport --dports $PROXY_PORTS${EXCLUDE_INBOUND_PORTS:+,$EXCLUDE_INBOUND_PORTS} -j RETURN"
    echo "-A XDS_INBOUND -p tcp -j REDIRECT --to-ports $INBOUND_PORT"
    echo "-A PREROUTING -p tcp -j XDS_INBOUND"
}

dns() {
    echo "-A XDS_DNS -m owner --uid-owner $PROXY_UID -j RETURN"
    echo "-A XDS_DNS -p udp -j REDIRECT --to-ports $DNS_PORT"
    echo "-I OUTPUT 1 -p udp --dport 53 -j XDS_DNS"    # before Docker's rules, which take what is sent to 127.0.0.11
}

old_jumps() { rules_now | sed -n '/-j XDS_/s/^-A/-D/p'; }

old_chains() {
    rules_now | sed -n 's/^-N \(XDS_.*\)/\1/p' | while read -r chain; do
        case " $* " in *" $chain "*) ;; *) printf -- '-F %s\n-X %s\n' "$chain" "$chain" ;; esac
    done
}

change() {
    echo "*nat"
    for chain in "$@"; do echo ":$chain - [0:0]"; done    # made, or emptied where it is there
    old_jumps
    old_chains "$@"
    for chain in "$@"; do
        case $chain in XDS_OUTBOUND) outbound ;; XDS_INBOUND) inbound ;; XDS_DNS) dns ;; esac
    done
    echo COMMIT
}

# One transaction: at no moment is a connection let through that the rules before or after it would take.
# The text is made first, for it asks for the rules there are, and iptables-restore holds their lock.
replace_by() {
    text=$(change "$@")
    echo "$text" | iptables-restore -w 10 --noflush
}

if [ "${1:-set}" = remove ]; then
    replace_by
else
    # shellcheck disable=SC2046  # a list of words
    replace_by $(chains)
    rules_now | grep XDS_
fi
