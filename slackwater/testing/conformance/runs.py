"""Runs: a case in one order of arrival, on keys and source positions of its own, as the bytes a merge is given."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slackwater.testing.conformance.change_files import Case, ChangeFile
from slackwater.testing.conformance.landing_bytes import LandingObject, landing_object

KEYS_PER_RUN = 10_000
"""Keys a run may use, from a multiple of this number; the keys of a history are below it."""


@dataclass(frozen=True)
class Run:
    """One case in one order of arrival.

    Attributes:
        id: A name no other run of the merge has; part of the names of its files.
        first_key: Multiple of `KEYS_PER_RUN`; the history's key 1 is `first_key + 1` in the files.
        order: Indices into `case.files`.
        objects: The bytes of each of `case.files`.
    """

    id: str
    case: Case
    order: tuple[int, ...]
    first_key: int
    objects: tuple[LandingObject, ...]

    @property
    def steps(self) -> tuple[tuple[ChangeFile, LandingObject], ...]:
        """Return the files as they arrive."""
        return tuple((self.case.files[index], self.objects[index]) for index in self.order)

    def object_of(self, file: ChangeFile) -> LandingObject:
        """Write a file that is not of the case with this run's keys."""
        return landing_object(file, entity=self.case.entity, source=self.id, first_key=self.first_key)


def plan_runs(cases: Iterable[Case]) -> tuple[Run, ...]:
    """Give every case in every one of its orders keys of its own, so that one merge can take them all."""
    pairs = enumerate((case, order) for case in cases for order in case.orders)
    return tuple(_run(case, order, number) for number, (case, order) in pairs)


def runs_apart(case: Case) -> tuple[Run, ...]:
    """Return a case's runs for merges of their own; their files are the same, which is cheaper."""
    first = _run(case, case.orders[0], 0)
    return (first, *(replace(first, order=order) for order in case.orders[1:]))


def _run(case: Case, order: tuple[int, ...], number: int) -> Run:
    first_key = (2**63 // KEYS_PER_RUN - 1 - number if case.uses_greatest_keys else number) * KEYS_PER_RUN
    source = f"run{number}"
    written = (landing_object(file, entity=case.entity, source=source, first_key=first_key) for file in case.files)
    return Run(source, case, order, first_key, tuple(written))
