"""Which host a name means: the one rule for destinations, DestinationRules and VirtualServices alike.

A name is looked up, in this order, among the hosts that services define:

1. the host itself, exactly as written;
2. `name`, `name.namespace`, `name.namespace.svc` and `name.namespace.svc.cluster.local` as spellings of each other:
   host `name` of a service in that namespace, or host `name.namespace.svc.cluster.local`. A name without a dot means
   the namespace of the document that says it.

Nothing is ever appended blindly (Istio appends `.svc.cluster.local` to every name without a dot, and calls that a bug
for meshes outside Kubernetes). A wildcard is a pattern for hosts, not a name: `*.example.com` covers every host below
example.com, and of several patterns that cover a host the longest speaks for it.
"""

from __future__ import annotations

from collections.abc import Mapping

DOMAIN = "cluster.local"
"""The DNS domain of full names, Istio's default."""


class Names:
    """The hosts that one namespace may see, each with the namespace of its service."""

    def __init__(self, namespace_of: Mapping[str, str]) -> None:
        """`namespace_of` is looked at whenever something is asked; its owner may change it in between."""
        self._namespace_of = namespace_of

    def resolve(self, name: str, namespace: str) -> str | None:
        """The service host that `name` means in a document of `namespace`; None when no service has it."""
        name = normal(name)
        if name in self._namespace_of:
            return name
        short, where = split(name, namespace)
        if short and self._namespace_of.get(short) == where:
            return short
        full = f"{short}.{where}.svc.{DOMAIN}"
        return full if full in self._namespace_of else None


def candidates(name: str, namespace: str) -> tuple[str, ...]:
    """Every host that `name` may mean in a document of `namespace`, whichever of them services have."""
    name = normal(name)
    short, where = split(name, namespace)
    return (name, short, f"{short}.{where}.svc.{DOMAIN}") if short else (name,)


def normal(name: str) -> str:
    """A host name as it is compared: lower case, without a trailing dot."""
    return name.lower().removesuffix(".")


def split(name: str, namespace: str) -> tuple[str, str]:
    """(short name, namespace) of a name in one of the four spellings; any other name has neither: ("", "")."""
    parts = name.split(".")
    if len(parts) == 1:
        return name, namespace
    if parts[2:] in ([], ["svc"], ["svc", *DOMAIN.split(".")]):
        return parts[0], parts[1]
    return "", ""


def may_be_same(name: str, other: str) -> bool:
    """Whether two names, each in any of the four spellings, may mean one service: without a dot, in any namespace."""
    name, other = normal(name), normal(other)
    if name == other:
        return True
    (short, where), (other_short, elsewhere) = split(name, ""), split(other, "")
    return bool(short) and short == other_short and (where == elsewhere or "" in {where, elsewhere})


def is_wildcard(host: str) -> bool:
    """Whether `host` is a pattern: `*` or `*.something`."""
    return host.startswith("*")


def covers(pattern: str, host: str, namespace: str) -> bool:
    """Whether a wildcard covers a service's host, or its full name when the host is a short one."""
    suffix = pattern.removeprefix("*")
    return host.endswith(suffix) or ("." not in host and f"{host}.{namespace}.svc.{DOMAIN}".endswith(suffix))


def spellings(host: str, namespace: str, viewer: str) -> tuple[str, ...]:
    """The names a service answers to for callers in namespace `viewer`, the host itself first.

    A short host answers to all four spellings everywhere; a full name answers to its bare first part only where the
    caller's namespace is its own (Istio's rule); any other host with dots answers to itself alone.
    """
    if "." not in host and not is_wildcard(host):
        where = f"{host}.{namespace}"
        return host, where, f"{where}.svc", f"{where}.svc.{DOMAIN}"
    parts = host.split(".")
    if parts[2:] != ["svc", *DOMAIN.split(".")] or is_wildcard(host):
        return (host,)
    short, where = parts[0], parts[1]
    bare = (short,) if where == viewer else ()
    return host, f"{short}.{where}.svc", f"{short}.{where}", *bare
