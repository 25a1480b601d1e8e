"""The kit: takes a merge through every prefix of every case and says where it differs from the definition.

A merge under test implements `Merge`. It is given landing files as bytes, exactly what an ingest reads, and asked for
the rows that exist. Runs have disjoint keys and source partitions, so a merge whose steps are dear (a warehouse) may
gather the files of all runs and work them off when it is first asked for a state.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from slackwater.testing.conformance.change_files import Case, ChangeFile
from slackwater.testing.conformance.landing_bytes import LandingObject
from slackwater.testing.conformance.minimise import minimise
from slackwater.testing.conformance.oracle import disagreement_with_source, state_after
from slackwater.testing.conformance.runs import Run, plan_runs, runs_apart
from slackwater.testing.conformance.source import Row

MISMATCHES_SHOWN = 3


class Merge(Protocol):
    """What the kit holds to the definition: something that merges change files into a table of newest versions."""

    def apply(self, run: Run, files: Sequence[LandingObject]) -> None:
        """Take files of one run; called once per step, in order of arrival.

        Args:
            run: Whose they are: `run.id`, `run.case.entity`.
            files: Landing files. One that cannot be read as the contract says is quarantined, not an error; an object
                that comes again changes nothing.
        """

    def state(self, run: Run) -> Mapping[int, Row]:
        """Return the run's rows that exist now (its keys begin at `run.first_key`), by key.

        A row has the entity's columns but the key: text, `int`, `Decimal`, naive UTC `datetime` or None.
        """


@dataclass(frozen=True)
class Mismatch:
    """One run at one prefix where the merge is wrong.

    Attributes:
        step: Number of files that had arrived.
        expected: Rows by definition, by the history's keys.
        found: Rows the merge holds.
    """

    run: Run
    step: int
    expected: Mapping[int, Row]
    found: Mapping[int, Row]

    def __str__(self) -> str:
        """Return the wrong keys and their changes in order of arrival."""
        case, keys = self.run.case, self.keys
        lines = [f"{case.name} ({case.entity.name}), after {self.step} of {len(self.run.steps)} files:"]
        for key in keys:
            lines += _key_lines(key, self.expected.get(key), self.found.get(key))
        lines.append("  files in order of arrival (of other keys nothing is shown):")
        for number, file in enumerate(self.files, 1):
            lines += _file_lines(number, file, keys)
        return "\n".join(lines)

    @property
    def files(self) -> tuple[ChangeFile, ...]:
        """Return the files that had arrived."""
        return tuple(file for file, _ in self.run.steps[: self.step])

    @property
    def keys(self) -> tuple[int, ...]:
        """Return the keys that are wrong, in the history's numbers."""
        every = {*self.expected, *self.found}
        return tuple(sorted(key for key in every if self.expected.get(key) != self.found.get(key)))


class NotConformant(AssertionError):
    """A merge differs from the definition; the message shows the first mismatches with their changes."""


def check(merge: Merge, cases: Iterable[Case]) -> int:
    """Hold a merge to the definition for every case, order and prefix.

    Args:
        merge: Empty at the beginning.
        cases: All of them share the merge.

    Returns:
        How many prefixes were compared.

    Raises:
        NotConformant: The merge is wrong somewhere.
        AssertionError: The definition contradicts the source's own table: the kit or the case is at fault.
    """
    return conclude(steps(merge, plan_runs(cases)))


def conclude(taken: Iterable["Step"]) -> int:
    """Return how many prefixes were compared.

    Raises:
        NotConformant: One of them differs.
    """
    compared = 0
    found: list[Mismatch] = []
    for step in taken:
        compared += len(step.runs)
        found += step.mismatches
    _require_none(found, compared)
    return compared


def check_apart(new_merge: Callable[[], Merge], case: Case) -> int:
    """Hold a merge to one case, every order with a merge of its own; otherwise as `check`."""
    return sum(conclude(steps(new_merge(), [run])) for run in runs_apart(case))


def check_end(merge: Merge, runs: Sequence[Run]) -> int:
    """Compare the end state of every run once more, for a merge that was given all files and did something since.

    Returns:
        How many runs were compared.

    Raises:
        NotConformant: An end state differs.
    """
    found = (_compare(merge, run, len(run.order)) for run in runs)
    _require_none([mismatch for mismatch in found if mismatch], len(runs))
    return len(runs)


def _require_none(found: Sequence[Mismatch], compared: int) -> None:
    if found:
        shown = "\n\n".join(str(mismatch) for mismatch in first_of_each_run(found)[:MISMATCHES_SHOWN])
        raise NotConformant(f"{len(found)} of {compared} prefixes differ\n\n{shown}")


@dataclass(frozen=True)
class Step:
    """One step of all runs: the runs that got a file, and those that are wrong after it."""

    number: int
    runs: tuple[Run, ...]
    mismatches: tuple[Mismatch, ...]


def steps(merge: Merge, runs: Sequence[Run]) -> Iterable[Step]:
    """Feed all runs in lockstep, the n-th file of each at once, and compare after each step."""
    for number in range(1, max((len(run.order) for run in runs), default=0) + 1):
        current = tuple(run for run in runs if len(run.order) >= number)
        for run in current:
            merge.apply(run, [run.steps[number - 1][1]])
        compared = (_compare(merge, run, number) for run in current)
        yield Step(number, current, tuple(mismatch for mismatch in compared if mismatch))


def _compare(merge: Merge, run: Run, number: int) -> Mismatch | None:
    arrived = run.steps[:number]
    expected = state_after(run.case.entity, [(file, item.object_id) for file, item in arrived])
    if set(range(len(run.case.files))) <= set(run.order[:number]):
        fault = disagreement_with_source(run.case, expected)
        if fault:
            raise AssertionError(f"{run.case.name}: the definition contradicts the source: {fault}")
    found = {key - run.first_key: row for key, row in merge.state(run).items()}
    return Mismatch(run, number, expected, found) if found != expected else None


def find_counterexample(new_merge: Callable[[], Merge], cases: Iterable[Case]) -> Mismatch | None:
    """Search cases for one a merge gets wrong, and cut it down to what is needed to show it.

    Args:
        new_merge: Makes an empty merge; cheap, and cheap to run, as it is made anew for every order tried.
        cases: Searched in order; the first failing one is cut down.

    Returns:
        The small mismatch, None when every case conforms.
    """

    def wrong(case: Case) -> Mismatch | None:
        every = (step.mismatches for run in runs_apart(case) for step in steps(new_merge(), [run]))
        return next((mismatch for found in every for mismatch in found), None)

    found = next((mismatch for mismatch in map(wrong, cases) if mismatch), None)
    if found is None:
        return None
    return wrong(minimise(found.run.case, found.files, is_wrong=lambda smaller: wrong(smaller) is not None))


def first_of_each_run(mismatches: Iterable[Mismatch]) -> list[Mismatch]:
    """Return per run its shortest wrong prefix, those with the fewest changes first."""
    first: dict[str, Mismatch] = {}
    for mismatch in mismatches:
        held = first.get(mismatch.run.id)
        if held is None or mismatch.step < held.step:
            first[mismatch.run.id] = mismatch
    return sorted(first.values(), key=lambda m: sum(len(file.changes) for file in m.files))


def _key_lines(key: int, expected: Row | None, found: Row | None) -> list[str]:
    if expected is None or found is None:
        return [f"  key {key}: expected {_shown(expected)}", f"  {'':>{len(str(key)) + 4}}  found    {_shown(found)}"]
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    return [f"  key {key}.{name}: expected {expected.get(name)!r}, found {found.get(name)!r}" for name in names]


def _shown(row: Row | None) -> str:
    if row is None:
        return "no row"
    told = {name: value for name, value in row.items() if value is not None}
    return repr(told) if told else "a row of nulls"


def _file_lines(number: int, file: ChangeFile, keys: Sequence[int]) -> list[str]:
    fault = f", quarantined ({file.fault.reason})" if file.fault else ""
    lines = [f"    {number}. positions {file.first} to {file.last}, {file.form.value}{fault}"]
    mine = ((index, change) for index, change in enumerate(file.changes) if change.key in keys)
    for index, change in islice(mine, 40):
        told = {name: value for name, value in change.values.items() if value is not None}
        place = f"epoch {change.epoch} lsn {change.lsn} position {file.first + index}"
        lines.append(f"         {place}: {change.op} key {change.key} {told or ''}".rstrip())
    return lines
