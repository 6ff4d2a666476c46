"""The books of all edges: proxies report into them, totals only grow, and there are never too many.

A proxy tells what it counted since it last told, so that a total needs no memory of who told it: it stays when a
proxy's stream ends, and a proxy that was started anew adds to it. What a proxy counts while it reaches no server is
lost, and all totals begin at 0 when this server starts. Levels are a proxy's own and go with its stream.

Everything is counted, whatever policies show of it, and apart where they tell the workloads of one service apart. When
they begin or cease to, what was counted before goes to the first workload of that service that tells again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from xds_server.signals.edge import Edge, Reporter, Teller, Told
from xds_server.signals.quantity import Count, Latency, Level
from xds_server.signals.stat import Stat, stat
from xds_server.signals.tally import Tally

_MOST = 1e15
"""More than anybody can have counted within one interval."""
_MOST_REMEMBERED = 50_000
"""Statistics of one proxy whose place is remembered; those of more are looked up each time, levels left out."""


class Ledger:
    """All tallies.

    Args:
        limit: of edges. What is told of any beyond is added to one edge for each side, whose names are `edge.OTHER`.

    Attributes:
        folded: how often something was added to those.
        turn: how often workloads have begun to be told apart by other labels: a tally of another turn may be gone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.folded = 0
        self.turn = 0
        self._tallies: dict[Told, Tally] = {}
        self._overflow: dict[Told, Tally] = {}
        self._reports: dict[Report, None] = {}
        self._keys: tuple[str, ...] = ()
        self._former: dict[Told, None] = {}

    def open(self, who: Callable[[], Reporter]) -> Report:
        """The book of the stream of a proxy that is whoever `who` says; `Report.close` it when the stream ends."""
        report = Report(self, who)
        self._reports[report] = None
        return report

    def close(self, report: Report) -> None:
        """Forget its levels."""
        del self._reports[report]

    def tally(self, edge: Edge, teller: Teller) -> tuple[Told | None, Tally]:
        """The tally of what that one tells of an edge, and the name of it; of all that are too many, and None."""
        told = edge, teller
        tally = self._tallies.get(told)
        if tally is None and len(self._tallies) < self.limit:
            tally = self._tallies[told] = Tally()
        if tally is not None:
            return told, tally
        self.folded += 1
        return None, self._overflow.setdefault((edge.overflow, Teller()), Tally())

    def adopt(self, reporter: Reporter) -> None:
        """Give a proxy what was told by such as it, when policies told workloads apart by other labels."""
        teller = reporter.teller
        if teller.keys != self._keys:
            self._keys = teller.keys
            self.turn += 1
            self._former = dict.fromkeys(told for told in self._tallies if told[1].keys != teller.keys)
        for told in [told for told in self._former if reporter.told(told)]:
            del self._former[told]
            tally = self._tallies.pop(told)
            kept = self._tallies.setdefault((told[0], teller), tally)
            if kept is not tally:
                kept.add(tally)

    def tallies(self) -> Iterator[tuple[Told, Tally]]:
        """Everything, in no order."""
        return itertools.chain(self._tallies.items(), self._overflow.items())

    @property
    def reporters(self) -> int:
        """Proxies that report now."""
        return len(self._reports)

    def __len__(self) -> int:
        """Edges that are counted by themselves, one that several kinds of workloads tell of as often as that."""
        return len(self._tallies)

    def levels(self) -> dict[Told, list[float]]:
        """By what is told and `Level`, over all open reports; what no proxy tells of now is not among them."""
        found: dict[Told, list[float]] = {}
        for report in self._reports:
            for told, level, value in report.levels():
                found.setdefault(told, [0.0] * len(Level))[level] += value
        return found


class Report:
    """What one stream of a proxy tells; a `server.metrics_sink.Report`. Made by `Ledger.open`."""

    def __init__(self, ledger: Ledger, who: Callable[[], Reporter]) -> None:
        self._ledger = ledger
        self._who = who
        self._reporter = who()
        ledger.adopt(self._reporter)
        self._turn = ledger.turn
        self._counts: dict[str, tuple[list[float], int]] = {}
        self._timed: dict[str, Tally] = {}
        self._levels: dict[str, tuple[Told, Level]] = {}
        self._values: dict[str, float] = {}
        self._nothing: set[str] = set()

    def begin(self) -> None:
        """A message begins. Since the last one, whose ports these are may have changed, or who is told apart."""
        reporter = self._who()
        is_same = reporter is self._reporter or reporter == self._reporter
        if not is_same or self._turn != self._ledger.turn:
            self._reporter = reporter
            self._ledger.adopt(reporter)
            self._turn = self._ledger.turn
            for remembered in (self._counts, self._timed, self._levels, self._values, self._nothing):
                remembered.clear()

    def count(self, name: str, more: float) -> None:
        """The counter `name` grew by so much."""
        # What a total must not do, a peer cannot make it do: neither shrink nor become no number.
        if not 0 < more < _MOST or name in self._nothing:
            return
        if (cell := self._counts.get(name) or self._counted(name)) is not None:
            row, at = cell
            row[at] += more

    def level(self, name: str, value: float) -> None:
        """The gauge `name` has this value."""
        if not 0 <= value < _MOST or name in self._nothing:
            return
        if name in self._levels or self._levelled(name):
            self._values[name] = value

    def time(self, name: str, timed: int, duration: float, buckets: Sequence[tuple[float, int]]) -> None:
        """The histogram `name` took up so many durations; see `Tally.time`."""
        if not 0 <= duration < _MOST or name in self._nothing:
            return
        tally = self._timed.get(name) or self._timing(name)
        if tally is not None:
            tally.time(timed, duration, buckets)

    def levels(self) -> Iterator[tuple[Told, Level, float]]:
        """What is told now."""
        return ((*self._levels[name], value) for name, value in self._values.items())

    def close(self) -> None:
        """The stream ended."""
        self._ledger.close(self)

    def _counted(self, name: str) -> tuple[list[float], int] | None:
        found = stat(name)
        if found is None or not isinstance(found.quantity, Count):
            self._pass_over(name)
            return None
        told, tally = self._placed(found)
        cell = tally.counts, found.quantity
        if told is not None and len(self._counts) < _MOST_REMEMBERED:
            self._counts[name] = cell
        return cell

    def _timing(self, name: str) -> Tally | None:
        found = stat(name)
        if found is None or not isinstance(found.quantity, Latency):
            self._pass_over(name)
            return None
        told, tally = self._placed(found)
        if told is not None and len(self._timed) < _MOST_REMEMBERED:
            self._timed[name] = tally
        return tally

    def _levelled(self, name: str) -> bool:
        """Whether a level is kept: those of edges that are counted with all others are not."""
        found = stat(name)
        if found is None or not isinstance(found.quantity, Level) or len(self._levels) >= _MOST_REMEMBERED:
            self._pass_over(name)
            return False
        told, _ = self._placed(found)
        if told is not None:
            self._levels[name] = told, found.quantity
        return told is not None

    def _pass_over(self, name: str) -> None:
        """Remember that a statistic tells nothing: half of what an idle proxy sends."""
        if len(self._nothing) < _MOST_REMEMBERED:
            self._nothing.add(name)

    def _placed(self, found: Stat) -> tuple[Told | None, Tally]:
        """What a statistic is about, None where there are too many edges, and where it is added."""
        return self._ledger.tally(self._reporter.edge(found.of), self._reporter.teller)
