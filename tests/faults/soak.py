"""Everything at once, at random, for as long as one likes; and after each quiet spell, is everything as it should be?

In a spell policies are edited, added, deleted, broken and half-written, the route that is under load moves, the server
is killed, proxies hang up and refuse, Envoys are restarted. Then files are mended, everything is edited once more (what
was refused is never sent again unless it changes), and it grows quiet. Then

- every simulated proxy holds exactly the snapshot that the files on disk make, byte by byte;
- every real Envoy holds what the server says it should, and is in step;
- no request failed: the service that is called always had a healthy endpoint.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.envoy.running import Envoy, get, until
from tests.faults.fleet import SimulatedProxy, fleet, in_step
from tests.faults.policies import pool, route, save, service, snapshots
from tests.faults.site import HOST, Site, all_answered, await_all_written, await_written, site
from tests.faults.traffic import Flow, traffic
from xds_server.bootstrap import Api
from xds_server.xds.type_url import CLUSTER, ENDPOINT

_ENVOYS = (Api.DELTA, Api.SOTW, Api.DELTA, Api.SOTW, Api.DELTA)
_LOADED = 3
"""So many of them carry requests; the others are restarted."""
_SERVICES = 30
_REFUSABLE = (CLUSTER, ENDPOINT)


@dataclass
class Outcome:
    """What was done and seen.

    Attributes:
        spells: quiet spells after which everything was as it should be.
        compared: proxies, simulated and real, that were found to hold exactly their snapshot, over all spells.
        done: how often each fault was done.
    """

    spells: int = 0
    compared: int = 0
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def summary(self) -> str:
        """In one line."""
        return (
            f"{self.done.total()} faults in {self.spells} spells, {self.compared} times a proxy held exactly its "
            f"snapshot, {self.failed.total()} of {self.requests} requests failed"
        )


class Soak:
    """The faults; each is one method that does it once."""

    def __init__(
        self, place: Site, proxies: Sequence[SimulatedProxy], seed: int, restart: Callable[[int], None]
    ) -> None:
        self.outcome = Outcome()
        self._site = place
        self._proxies = proxies
        self._random = random.Random(seed)  # the same faults for the same seed
        self._restart = restart
        self._revision = 0
        self._names = [f"s{number}" for number in range(_SERVICES)]
        self._homes = [place.traffic.backend(f"home {number}") for number in range(2)]
        self._home = 0

    async def spell(self, faults: int) -> None:
        """Do so many faults, each a moment after the one before."""
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self.edit: 30, self.add: 6, self.delete: 6, self.move: 15, self.spoil: 10, self.half_write: 10,
            self.hang_up: 8, self.refuse: 10, self.kill: 3, self.restart_envoy: 2,
        }  # fmt: skip
        for fault in self._random.choices(list(kinds), list(kinds.values()), k=faults):
            await fault()
            self.outcome.done[fault.__name__] += 1
            await asyncio.sleep(self._random.uniform(0, 0.3))

    async def quiet(self, flows: Sequence[Flow]) -> None:
        """Mend and change everything, wait until it is settled, and look.

        Raises:
            AssertionError: something is not as it should be; says what.
        """
        for proxy in self._proxies:
            proxy.refuses.clear()
        for name in self._names:
            self._save(name)
        self._route()
        wanted = await asyncio.to_thread(
            snapshots, self._site.control.policies, [proxy.node_id for proxy in self._proxies]
        )
        await in_step(self._proxies, wanted)
        for one, api in zip(self._site.envoys, _ENVOYS, strict=True):
            await asyncio.to_thread(_await_equal, self._site, one, api)
        failed = [flow.failed for flow in flows]
        assert not any(failed), f"{failed} after {self.outcome}"
        self.outcome.spells += 1
        self.outcome.compared += len(self._proxies) + len(self._site.envoys)

    async def edit(self) -> None:
        """Change clusters, endpoints and routes of one service."""
        self._save(self._random.choice(self._names))

    async def add(self) -> None:
        """A new service."""
        self._revision += 1
        self._names.append(f"n{self._revision}")
        self._save(self._names[-1])

    async def delete(self) -> None:
        """One service less."""
        if len(self._names) > _SERVICES // 2:
            name = self._names.pop(self._random.randrange(len(self._names)))
            self._path(name).unlink(missing_ok=True)

    async def move(self) -> None:
        """The service under load goes to the other home, which is new with that; the old one is gone with it."""
        self._home += 1
        self._route()

    async def spoil(self) -> None:
        """A file turns into nonsense, and stays so until the spell is over."""
        self._path(self._random.choice(self._names)).write_bytes(self._random.randbytes(200))

    async def half_write(self) -> None:
        """A file ends in the middle, and stays so until the spell is over."""
        path = self._path(self._random.choice(self._names))
        text = path.read_bytes() if path.exists() else b"x"
        path.write_bytes(text[: self._random.randrange(1, len(text) + 1)])

    async def hang_up(self) -> None:
        """Some proxies lose their connection."""
        for proxy in self._random.sample(list(self._proxies), 20):
            await proxy.hang_up()

    async def refuse(self) -> None:
        """Some proxies will refuse the next change of some service, other than the one under load, and name it."""
        for proxy in self._random.sample(list(self._proxies), 20):
            proxy.refuses[self._random.choice(_REFUSABLE)] = frozenset(self._names)

    async def kill(self) -> None:
        """SIGKILL for the server, once it has written down what everybody holds and refused; a move; and a new one.

        It does so a fifth of a second after the last answer, or later if writing takes long.
        """
        await asyncio.to_thread(self._await_loaded)
        await asyncio.to_thread(until, lambda: all_answered(self._site.control))
        await asyncio.to_thread(await_written, self._site.envoys[_ENVOYS.index(Api.SOTW)], f"home-{self._home}")
        await asyncio.to_thread(await_all_written)
        await asyncio.to_thread(self._site.control.kill)
        await self.move()
        await asyncio.to_thread(self._site.control.start)

    def _await_loaded(self) -> None:
        for one, api in zip(self._site.envoys[:_LOADED], _ENVOYS, strict=False):
            _await_equal(self._site, one, api)

    async def restart_envoy(self) -> None:
        """One of those that carry no load."""
        await asyncio.to_thread(self._restart, self._random.randrange(_LOADED, len(_ENVOYS)))

    def _path(self, name: str) -> Path:
        return self._site.control.policies / f"{name}.yaml"

    def _save(self, name: str) -> None:
        self._revision += 1
        ports = [9, 1000 + self._revision]
        limit, timeout = 1 + self._revision, 1 + self._revision
        save(self._path(name), service(name, ports) + pool(name, limit) + route(name, name, timeout=timeout))

    def _route(self) -> None:
        self._revision += 1
        port, home = self._homes[self._home % 2], f"home-{self._home}"
        text = service(HOST, [port]) + service(home, [port]) + pool(home, 10_000 + self._revision)
        save(self._path(HOST), text + route(HOST, home, timeout=60 + self._revision))


def soak(binary: Path, directory: Path, *, seconds: float, seed: int, proxies: int = 200, faults: int = 30) -> Outcome:
    """Spells of `faults` faults, each with its quiet end, one at least, until `seconds` have passed.

    Raises:
        AssertionError: something was not as it should be.
    """
    with traffic() as running, site(binary, directory, running, apis=_ENVOYS) as place:
        return asyncio.run(_soak(place, seconds=seconds, seed=seed, proxies=proxies, faults=faults))


async def _soak(place: Site, *, seconds: float, seed: int, proxies: int, faults: int) -> Outcome:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with fleet(place.control.xds_port, proxies) as connected:
        work = Soak(place, connected, seed, lambda number: place.envoys[number].restart())
        with place.load(rate=300, envoys=_LOADED) as flows:
            await work.quiet(flows)
            while work.outcome.spells < 2 or loop.time() < end:
                await work.spell(faults)
                await work.quiet(flows)
        work.outcome.requests = sum(flow.total for flow in flows)
        for flow in flows:
            work.outcome.failed.update(flow.failed)
    return work.outcome


def _await_equal(place: Site, one: Envoy, api: Api) -> None:
    """Wait until a real Envoy holds what the server has for it: names, and where it tells them, versions."""
    until(
        lambda: _dump(one.admin_port, "", api) == _dump(place.control.debug_port, f"?proxyID={one.node_id}", api),
        what=f"{one.node_id} holds what the server says",
    )


def _dump(port: int, query: str, api: Api) -> dict[str, str]:
    """Name to version of clusters and routes; SotW knows versions of whole responses only, so these are left out."""
    found = {}
    for part in json.loads(get(port, f"{'/config_dump' if not query else '/debug/config_dump'}{query}"))["configs"]:
        for kind, inner in (("dynamic_active_clusters", "cluster"), ("dynamic_route_configs", "route_config")):
            for held in part.get(kind, ()):
                found[held[inner]["name"]] = held["version_info"] if api is Api.DELTA else ""
    return found
