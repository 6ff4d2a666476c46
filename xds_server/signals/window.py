"""What happened lately, from totals that only grow: the rows of a table of who calls whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xds_server.signals.edge import Edge, Told
from xds_server.signals.ledger import Ledger
from xds_server.signals.quantity import OVERFLOWS, Count, Level
from xds_server.signals.tally import Tally

STEP = 10.0
"""Seconds between two marks."""
SPAN = 60.0
"""Seconds that "lately" goes back, give or take a step."""


@dataclass(frozen=True, slots=True)
class Row:
    """One edge; durations in milliseconds.

    Attributes:
        seconds: that lately goes back.
        recent: what was counted lately.
        total: since the server started.
        levels: now, by `Level`.
    """

    edge: Edge
    seconds: float
    recent: Tally
    total: Tally
    levels: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Requests, lately."""
        return self.recent.requests / self.seconds if self.seconds else 0.0

    @property
    def recent_errors(self) -> int:
        """Requests that failed, lately."""
        return self.recent.errors(self.edge.side)

    @property
    def errors(self) -> int:
        """The same since the server started."""
        return self.total.errors(self.edge.side)

    @property
    def error_rate(self) -> float | None:
        """Part of the requests that failed, lately; None without requests."""
        # A call of gRPC is a request when its answer begins, and may be an error when that ends.
        return min(1.0, self.recent_errors / self.recent.requests) if self.recent.requests else None

    @property
    def tls_share(self) -> float | None:
        """Part of all connections that were TLS; None where that of none is known."""
        known = self.total.counts[Count.CONNECTIONS]
        return min(1.0, self.total.counts[Count.TLS_CONNECTIONS] / known) if known else None

    @property
    def overflows(self) -> int:
        """How often a limit of the connection pool was hit."""
        return int(sum(self.total.counts[count] for count in OVERFLOWS.values()))

    def count(self, count: Count) -> int:
        """Since the server started."""
        return int(self.total.counts[count])

    def level(self, level: Level) -> int:
        """Now."""
        return int(self.levels[level])


@dataclass(frozen=True, slots=True)
class Sight:
    """A ledger at one moment, apart from it: may be read in another thread.

    Attributes:
        tallies: since the server started.
        former: by edge, as it was when lately began.
        seconds: since then.
        levels: by `Level`; what no proxy tells of now is not among them.
        new: edges that are told of for a short while.
        apart: edges that are counted by themselves; limit, folded, reporters: see `Ledger`.
    """

    tallies: Mapping[Told, Tally] = field(default_factory=dict)
    former: Mapping[Edge, Tally] = field(default_factory=dict)
    seconds: float = 0.0
    levels: Mapping[Told, Sequence[float]] = field(default_factory=dict)
    new: frozenset[Edge] = frozenset()
    apart: int = 0
    limit: int = 0
    folded: int = 0
    reporters: int = 0


class Window:
    """Marks in time of a ledger; seconds are of any clock that only goes forward.

    Args:
        ledger: what is looked at.
        now: the time.
        new_for: for how long an edge is new, from the first mark or sight that has it.
    """

    def __init__(self, ledger: Ledger, now: float, new_for: float = 0.0) -> None:
        self._ledger = ledger
        self._new_for = new_for
        self._noticed: dict[Edge, float] = {}
        self._marks: deque[tuple[float, Mapping[Edge, Tally]]] = deque()
        self.mark(now)

    def mark(self, now: float) -> None:
        """Remember the totals; call it every `STEP` seconds."""
        while len(self._marks) > 1 and self._marks[1][0] <= now - SPAN:
            self._marks.popleft()
        self._marks.append((now, _by_edge(self._ledger.tallies())))
        self._notice(now)

    def sight(self, now: float) -> Sight:
        """Everything as it is now."""
        self._notice(now)
        since, former = self._marks[0]
        ledger = self._ledger
        return Sight(
            tallies={told: tally.copy() for told, tally in ledger.tallies()},
            former=former,
            seconds=max(0.0, now - since),
            levels=ledger.levels(),
            new=frozenset(edge for edge, noticed in self._noticed.items() if now - noticed < self._new_for),
            apart=len(ledger),
            limit=ledger.limit,
            folded=ledger.folded,
            reporters=ledger.reporters,
        )

    def _notice(self, now: float) -> None:
        for (edge, _), _ in self._ledger.tallies():
            self._noticed.setdefault(edge, now)


def _by_edge(tallies: Iterable[tuple[Told, Tally]]) -> dict[Edge, Tally]:
    """Whoever tells of them: copies."""
    found: dict[Edge, Tally] = {}
    for (edge, _), tally in tallies:
        if edge in found:
            found[edge].add(tally)
        else:
            found[edge] = tally.copy()
    return found


_NO_LEVELS = (0.0,) * len(Level)


def rows(sight: Sight) -> tuple[Row, ...]:
    """Every edge, those with the most errors first: lately, then in all."""
    nothing, levels = Tally(), dict[Edge, tuple[float, ...]]()
    for (edge, _), values in sight.levels.items():
        levels[edge] = tuple(map(sum, zip(levels.get(edge, _NO_LEVELS), values, strict=True)))
    found = (
        Row(
            edge=edge,
            seconds=sight.seconds,
            recent=tally.since(sight.former.get(edge, nothing)),
            total=tally,
            levels=levels.get(edge, _NO_LEVELS),
        )
        for edge, tally in _by_edge(sight.tallies.items()).items()
    )
    return tuple(sorted(found, key=_worst_first))


def _worst_first(row: Row) -> tuple[object, ...]:
    return (-row.recent_errors, -row.errors, -row.recent.requests, -row.total.requests, row.edge)
