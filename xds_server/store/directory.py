"""A directory of YAML files as a store of policies: what is in force now, given what was in force before.

Nothing that an editor, a deployment or a broken disk does to files takes a policy out of force by accident: it goes
when its document is deleted from a file that can be read, or when its file is deleted, and not with half of all others.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xds_server.policy.document import BrokenDocument, Document, PolicySet
from xds_server.problem import Problem, Severity
from xds_server.store.policy_file import Kept, Key, PolicyFile, Ranked, Reader, nothing_kept
from xds_server.store.tree import Found, Tree, look_at, same_generations, scan

_SWAPS = 10
"""How often a ConfigMap may be replaced while we read it before we wait for the next event."""
_RANK = operator.itemgetter(0)
_InForce = tuple[dict[Key, Document], tuple[Problem, ...]]
"""One document of each name, in order of precedence; and a problem for each that lost its name to another."""
_HOLDS = frozenset({"root-missing", "mass-delete-held"})


@dataclass(frozen=True, slots=True)
class Rules:
    """How a directory is read.

    Attributes:
        default_namespace: of documents that name none.
        max_delete_fraction: when more than this part of all documents goes at once, nothing is taken over.
        guarded_from: number of documents from which on that holds.
        allow_mass_delete: take over such a deletion all the same.
        half_written_grace: seconds for which a file that lost its end in place is not believed.
    """

    default_namespace: str = "default"
    max_delete_fraction: float = 0.5
    guarded_from: int = 4
    allow_mass_delete: bool = False
    half_written_grace: float = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at the roots gave; hand it to the next one.

    Attributes:
        policies: the same object as before when nothing changed.
        files: by label, in the order of labels.
        in_force: the documents of `policies` by what they are called.
        duplicates: of documents that lost their name to another.
        tree_problems: of links and directories.
        unsettled: files that look half-written; read again with these as `changed` after `half_written_grace`.
        complete: False when a state was held back or not taken from the files, so that the next look is at everything.
    """

    policies: PolicySet
    files: dict[str, PolicyFile] = field(default_factory=dict)
    in_force: dict[Key, Document] = field(default_factory=dict)
    duplicates: tuple[Problem, ...] = ()
    tree_problems: tuple[Problem, ...] = ()
    unsettled: frozenset[Path] = frozenset()
    complete: bool = True


def read_policies(
    roots: Path | Sequence[Path],
    previous: Reading | None = None,
    *,
    changed: frozenset[Path] | None = None,
    rules: Rules = Rules(),
    clock: Callable[[], float] = time.time,
    kept: Kept = nothing_kept,
) -> Reading:
    """What is in force now.

    Args:
        roots: a directory, a file, or several of them.
        previous: the last reading of the same roots; None at the start.
        changed: the only files that may have changed since, spelled as `roots` are; None when anything may have.
        rules: see Rules.
        clock: wall clock, in seconds since 1970.
        kept: what stays in force of a file that is new to us and broken, see `keepsake`.
    """
    paths = (roots,) if isinstance(roots, Path) else tuple(roots)
    before = previous or Reading(PolicySet())
    reader = Reader(rules.default_namespace, rules.half_written_grace, clock(), before.in_force, kept)
    if previous is not None and changed is not None and previous.complete:
        hinted = _looked_at(paths, changed | before.unsettled)
        if hinted is not None and not _is_told_of(hinted, before.tree_problems):
            files = _hinted_files(hinted, before, reader)
            edited = _edited(hinted, files, before)
            reading = _reading(files, edited or _in_force(files), before.tree_problems, before)
            return reading if edited else _guarded(reading, before, rules)
    return _read_everything(paths, before, reader, rules)


def _looked_at(roots: Sequence[Path], changed: Iterable[Path]) -> dict[str, Found | None] | None:
    looks = [look_at(roots, path) for path in changed]
    known = [look for look in looks if look is not None]
    return dict(known) if len(known) == len(looks) else None


def _is_told_of(labels: Iterable[str], tree_problems: Sequence[Problem]) -> bool:
    """Whether a link or special file stood where one of these files is or was: only a scan tells if it still does."""
    return bool(tree_problems) and not {problem.file for problem in tree_problems}.isdisjoint(labels)


def _hinted_files(hinted: Mapping[str, Found | None], before: Reading, reader: Reader) -> dict[str, PolicyFile]:
    files = dict(before.files)
    for label, found in hinted.items():
        now = reader.read(found, files.get(label)) if found else None
        if now is None:
            files.pop(label, None)
        else:
            files[label] = now
    return files if files.keys() == before.files.keys() else dict(sorted(files.items()))


def _read_everything(roots: Sequence[Path], before: Reading, reader: Reader, rules: Rules) -> Reading:
    for _ in range(_SWAPS):
        tree = scan(roots)
        if tree.missing:
            return _held(before, _root_missing(tree.missing[0], len(before.policies.documents)))
        files = _scanned_files(tree, before, reader)
        if same_generations(tree):
            return _guarded(_reading(files, _in_force(files), tree.problems, before), before, rules)
    return dataclasses.replace(before, complete=False)


def _scanned_files(tree: Tree, before: Reading, reader: Reader) -> dict[str, PolicyFile]:
    files = (
        {label: file for label, file in before.files.items() if _is_unseen(label, tree.unseen)} if tree.unseen else {}
    )
    for label, found in tree.files.items():
        last = before.files.get(label)
        unchanged = last is not None and last.trusted and last.found.signature == found.signature
        now = last if unchanged else reader.read(found, last)
        if now is not None:
            files[label] = now
    return dict(sorted(files.items())) if tree.unseen else files


def _is_unseen(label: str, unseen: Sequence[str]) -> bool:
    return any(label == one or (one.endswith("/") and label.startswith(one)) for one in unseen)


def _reading(
    files: dict[str, PolicyFile], in_force: _InForce, tree_problems: tuple[Problem, ...], before: Reading
) -> Reading:
    taken, duplicates = in_force
    documents = tuple(taken.values())
    problems = _in_order((*tree_problems, *duplicates), files)
    policies = before.policies
    broken = tuple(one for file in files.values() for one in file.broken if _key(one) not in taken)
    same = _same(documents, policies.documents) and _same(broken, policies.broken)
    if not same or problems != policies.problems:
        policies = PolicySet(documents, problems, broken)
    unsettled = frozenset(file.found.path for file in files.values() if file.unsettled)
    return Reading(policies, files, taken, duplicates, tree_problems, unsettled)


def _same(now: Sequence[object], before: Sequence[object]) -> bool:
    return len(now) == len(before) and all(map(operator.is_, now, before))


def _key(broken: BrokenDocument) -> Key:
    return broken.kind, broken.namespace, broken.name


def _edited(changed: Iterable[str], files: Mapping[str, PolicyFile], before: Reading) -> _InForce | None:
    """What is in force after the usual edit, which leaves every name and its precedence; None after any other.

    It spares looking at every file: an edit must not cost more because there are more files.
    """
    if before.duplicates:
        return None
    replaced: dict[Key, Document] = {}
    for label in changed:
        old, new = before.files.get(label), files.get(label)
        if old is None or new is None or old.held or new.held or _precedences(old) != _precedences(new):
            return None
        replaced |= {document.key: document for _, document in new.live}
    return before.in_force | replaced, ()


def _precedences(file: PolicyFile) -> list[tuple[object, ...]]:
    return sorted(rank[:-1] for rank, _ in file.live)  # all but the line


def _in_force(files: Mapping[str, PolicyFile]) -> _InForce:
    """Looks at every file."""
    live = sorted(itertools.chain.from_iterable(file.live for file in files.values()), key=_RANK)
    taken: dict[Key, Ranked] = {}
    duplicates = []
    for entry in live:
        winner = taken.setdefault(entry[1].key, entry)
        if winner is not entry:
            duplicates.append(_duplicate(entry[1], winner[1]))
    held = sorted(itertools.chain.from_iterable(file.held for file in files.values()), key=_RANK)
    for entry in held:
        taken.setdefault(entry[1].key, entry)
    in_order = sorted(taken.values(), key=_RANK) if held else taken.values()
    return {document.key: document for _, document in in_order}, tuple(duplicates)


def _in_order(others: Iterable[Problem], files: Mapping[str, PolicyFile]) -> tuple[Problem, ...]:
    """All problems, sorted; those of one file are sorted already, and files are in order."""
    extra = sorted(others)
    problems = tuple(itertools.chain.from_iterable(file.problems for file in files.values()))
    return tuple(sorted((*problems, *extra))) if extra else problems


def _duplicate(document: Document, winner: Document) -> Problem:
    origin = document.origin
    message = f"is written twice; {winner.origin.file}:{winner.origin.line} is in force"
    fix = "rename or delete one of the two"
    place = origin.file, origin.line, 1, origin.kind, origin.namespace, origin.name, "metadata.name"
    return Problem(*place, Severity.ERROR, "duplicate-document", message, fix)


def _guarded(now: Reading, before: Reading, rules: Rules) -> Reading:
    """The new reading, unless it loses more documents at once than anybody means to delete."""
    known = before.in_force.keys()
    lost = known - now.in_force.keys()
    if (
        rules.allow_mass_delete
        or len(known) < rules.guarded_from
        or len(lost) <= rules.max_delete_fraction * len(known)
    ):
        return now
    return _held(before, _mass_delete(len(lost), len(known)))


def _held(before: Reading, problem: Problem) -> Reading:
    """The last reading, still in force, with the reason why the files are not believed."""
    others = (old for old in before.policies.problems if old.code not in _HOLDS)
    problems = tuple(sorted((*others, problem)))
    same = problems == before.policies.problems
    policies = before.policies if same else PolicySet(before.policies.documents, problems, before.policies.broken)
    return dataclasses.replace(before, policies=policies, complete=False)


def _root_missing(root: Path, known: int) -> Problem:
    outcome = f"the {known} documents last read stay in force" if known else "no policy is in force"
    message = f"the policy root is not there or cannot be listed; {outcome}"
    fix = "create it, or mount it again"
    return Problem(str(root), 0, 0, "", "", "", "", Severity.ERROR, "root-missing", message, fix)


def _mass_delete(lost: int, known: int) -> Problem:
    message = f"{lost} of {known} documents are gone at once; all {known} stay in force as last read"
    fix = "put them back, delete fewer at a time, or start with --allow-mass-delete"
    return Problem("", 0, 0, "", "", "", "", Severity.ERROR, "mass-delete-held", message, fix)
