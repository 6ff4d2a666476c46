"""Commands that work on the state directory beside the server: enroll, revoke, ca rotate."""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xds_server import options
from xds_server.errors import ConfigurationError
from xds_server.mesh.identity import DEFAULT_TRUST_DOMAIN, TrustDomain
from xds_server.settings import default_state_dir

if TYPE_CHECKING:
    from xds_server.security import State

_DAYS = 30.0

Nodes = Annotated[
    list[str],
    typer.Argument(
        metavar="NODE...", help="NAME or NAME.NAMESPACE of each; by default in namespace default.", show_default=False
    ),
]


def add_identity_commands(app: typer.Typer) -> None:
    """Put the commands of this module on `app`."""
    app.command()(options.flattened(enroll))
    app.command()(revoke)
    authority = typer.Typer(no_args_is_help=True, help="The authority behind workload certificates.")
    authority.command()(rotate)
    app.add_typer(authority, name="ca")


def enroll(
    *,
    nodes: Nodes,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A directory for each node is made in this one.")
    ] = Path(),
    seen_as: Annotated[
        str,
        typer.Option(metavar="DIR", help="The node's directory as its Envoy sees it, where that is a mount."),
    ] = "",
    days: Annotated[
        float, typer.Option(min=0.001, max=3650, help="Life of the certificate or token; enroll again to renew it.")
    ] = _DAYS,
    token: Annotated[
        bool, typer.Option("--token", help="A signed token instead of a client certificate (serve --auth token).")
    ] = False,
    owner: Annotated[
        str, typer.Option(metavar="UID:GID", help="Whom the files belong to: whoever Envoy runs as.")
    ] = "",
    flags: options.NodeFlags,
    state_dir: options.StateDir = None,
    trust_domain: options.TrustDomainName = DEFAULT_TRUST_DOMAIN,
) -> None:
    """Write what an Envoy needs to prove who it is. Works beside the server, not through it.

    [bold]Examples[/]

      xds-server enroll web --xds-address mesh.internal:15010
      xds-server enroll web.shop pay.shop -o /srv/nodes --service-account shop
      xds-server enroll web --seen-as /etc/envoy --owner 1337:1337
      xds-server enroll worker --group worker --service-account worker

    Each node gets a directory NAME.NAMESPACE, mode 0700, with
    bootstrap.yaml to start its Envoy with, ca.pem, and sds.yaml with its
    key, which Envoy reads again when it is renamed over. Enrolling a node
    again renews it with no restart, and lets it in again after a revoke.

    A server on loopback asks nobody who he is, unless it is started with
    --auth certificate; without, enrolled Envoys do not reach it.

    Replicas may share a directory. Each is then started with the node id
    of the bootstrap as envoy --service-node, and NAME@REPLICA for NAME.

    [bold]Exit codes[/]  0 written, 2 a node cannot be enrolled.
    """
    from xds_server.enroll import Enrolment  # noqa: PLC0415 - see the docstring of cli.py
    from xds_server.enroll import enroll as write  # noqa: PLC0415
    from xds_server.security import utc_now  # noqa: PLC0415

    domain = options.trust_domain(trust_domain)
    state = _state(state_dir, domain)
    for node in nodes:
        name, namespace = _node(node)
        described = flags.node(name, namespace)
        directory = (output / f"{name}.{namespace}").absolute()
        how = Enrolment(
            directory=directory,
            seen_as=seen_as.rstrip("/") or str(directory),
            lifetime=timedelta(days=days),
            token=token,
            owner=_owner(owner),
        )
        principal = write(state, domain, described, how, utc_now())
        typer.echo(f"{principal}: envoy -c {directory / 'bootstrap.yaml'}")
    if token or any(each.is_loopback for each in described.xds):  # elsewhere a server asks for certificates by itself
        typer.echo(
            f"the server must ask for it: xds-server serve --auth {'token' if token else 'certificate'}", err=True
        )


def revoke(
    nodes: Nodes, state_dir: options.StateDir = None, trust_domain: options.TrustDomainName = DEFAULT_TRUST_DOMAIN
) -> None:
    """Void what nodes and their replicas were given so far. A running server ends their streams within a second.

    [bold]Examples[/]

      xds-server revoke web
      xds-server revoke web.shop pay.shop

    Enroll a node again to let it in again, with the new credentials only.
    A workload certificate that it has lives on for a day at most.
    Where every workload of a WorkloadGroup is revoked, callers go on using
    them for serve --registration-grace, which is time to enroll again; then
    they are answered 503.

    A name that was never enrolled from this state directory is told: it may
    be misspelt, or have been enrolled from a copy, so it is revoked as well.

    [bold]Exit codes[/]  0 revoked, 2 a node cannot be revoked.
    """
    from xds_server.enroll import enrolled  # noqa: PLC0415 - see the docstring of cli.py
    from xds_server.identity import revocation  # noqa: PLC0415 - see the docstring of cli.py
    from xds_server.identity.principal import Principal  # noqa: PLC0415
    from xds_server.security import REVOKED, utc_now  # noqa: PLC0415

    domain = options.trust_domain(trust_domain)
    state = _state(state_dir, domain, is_there=True)
    known = enrolled(state.directory)
    for node in nodes:
        name, namespace = _node(node)
        try:
            label = Principal(domain.identity(namespace), name).label
            revocation.revoke(state.directory / REVOKED, label, utc_now())
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"{node} is not revoked: {error}") from None
        typer.echo(f"{label} is revoked")
        if label not in known:
            near = difflib.get_close_matches(label, sorted(known), n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            typer.echo(f"warning: nobody was enrolled as {label} from {state.directory}{meant}", err=True)


def rotate(
    to: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="An authority of yours: ca-key.pem, ca-cert.pem, root-cert.pem, cert-chain.pem. Else a new root.",
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="HOURS",
            help="Least time in each phase, for proxies that are away; 0 when all are connected.",
        ),
    ] = 24.0,
    state_dir: options.StateDir = None,
    trust_domain: options.TrustDomainName = DEFAULT_TRUST_DOMAIN,
) -> None:
    """Change the root of workload certificates under traffic. The running server does it, in three phases.

    [bold]Examples[/]

      xds-server ca rotate
      xds-server ca rotate --to /etc/company-ca --grace 0

    All proxies are told to believe both roots, then given certificates of
    the new one, then told to forget the old one. Each phase waits until
    every connected proxy has confirmed the one before, and for --grace,
    which is also for proxies that other replicas of the server serve.
    /debug/ca says how far it is and for whom it waits. A server that is
    restarted goes on where it was.

    [bold]Exit codes[/]  0 begun, 2 it cannot begin.
    """
    from xds_server.identity.authority import new_key, new_root  # noqa: PLC0415 - see the docstring of cli.py
    from xds_server.identity.authority_files import read_authority  # noqa: PLC0415
    from xds_server.identity.root_rotation import begin_rotation  # noqa: PLC0415
    from xds_server.security import utc_now  # noqa: PLC0415

    domain, now = options.trust_domain(trust_domain), utc_now()
    state = _state(state_dir, domain, is_there=True)
    following = read_authority(to, now) if to is not None else new_root("mesh root", domain.name, now, key=new_key())
    begin_rotation(state.directory, following, now, timedelta(hours=grace))
    typer.echo("begun; /debug/ca says how far it is")


def _state(state_dir: Path | None, domain: TrustDomain, *, is_there: bool = False) -> State:
    """The state directory; one that must be there is not made, for nobody would look at it."""
    from xds_server.security import NODE_AUTHORITY, open_state, utc_now  # noqa: PLC0415 - see the docstring of cli.py

    directory = state_dir or default_state_dir()
    if is_there and not (directory / NODE_AUTHORITY).exists():
        raise ConfigurationError(f"{directory} is no server's state directory; say which is: --state-dir DIR")
    return open_state(directory, domain, utc_now())


def _node(text: str) -> tuple[str, str]:
    """(name, namespace) of NAME or NAME.NAMESPACE."""
    name, dot, namespace = text.rpartition(".")
    return (name, namespace) if dot else (text, "default")


def _owner(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    user, colon, group = text.partition(":")
    if not user.isdecimal() or not group.isdecimal() or not colon:
        raise ConfigurationError(f"--owner {text!r} must be two numbers, UID:GID, such as 1337:1337")
    return int(user), int(group)
