"""The conformance kit itself: a merge with a planted bug is caught and its counterexample is small."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from slackwater.naming import TOAST_PLACEHOLDER
from slackwater.testing.conformance.histories import generated_cases
from slackwater.testing.conformance.kit import NotConformant, check, find_counterexample
from slackwater.testing.conformance.named_cases import named_cases
from slackwater.testing.conformance.reference_merge import ReferenceMerge, ToldValue


class LastArrivalWins(ReferenceMerge):
    def is_newer(self, order, held):
        return True


class IgnoresTheEpoch(ReferenceMerge):
    def order(self, row):
        return replace(super().order(row), epoch=0)


class SnapshotBeatsStream(ReferenceMerge):
    def order(self, row):
        return replace(super().order(row), is_streamed=row["__op"] == "r")


class IgnoresThePosition(ReferenceMerge):
    def order(self, row):
        return replace(super().order(row), position=0, object_id="")


class PublishesThePlaceholder(ReferenceMerge):
    def told_value(self, row, name):
        return ToldValue(row[name], self.order(row))


class ForgetsTombstones(ReferenceMerge):
    def apply(self, run, files):
        super().apply(run, files)
        kept = {key: version for key, version in self.versions[run.id].items() if not version.is_deleted}
        self.versions[run.id] = kept


class DropsLateChangesWhole(ReferenceMerge):
    """A late change may tell the value that the newest withholds."""

    def merge(self, held, row, *, toastable):
        if held is not None and not held.order < self.order(row):
            return held
        return super().merge(held, row, toastable=toastable)


class KeepsTheValueOfAnEarlierLife(ReferenceMerge):
    def told_value(self, row, name):
        is_silent = row["__op"] == "d" or row[name] == TOAST_PLACEHOLDER
        return None if is_silent else super().told_value(row, name)


class TakesNullForSilence(ReferenceMerge):
    def told_value(self, row, name):
        return None if row[name] is None and row["__op"] == "u" else super().told_value(row, name)


class BelievesFabricatedZeros(ReferenceMerge):
    def told_value(self, row, name):
        return ToldValue("", self.order(row)) if row["__op"] == "d" else super().told_value(row, name)


class CutsMicroseconds(ReferenceMerge):
    def state(self, run):
        def cut(value):
            return value.replace(microsecond=0) if isinstance(value, datetime) else value

        return {key: {name: cut(value) for name, value in row.items()} for key, row in super().state(run).items()}


class CountsMoneyInFloats(ReferenceMerge):
    def state(self, run):
        def lossy(value):
            return Decimal(float(value)) if isinstance(value, Decimal) else value

        return {key: {name: lossy(value) for name, value in row.items()} for key, row in super().state(run).items()}


PLANTED = {
    LastArrivalWins: 2,
    IgnoresTheEpoch: 2,
    SnapshotBeatsStream: 2,
    IgnoresThePosition: 2,
    PublishesThePlaceholder: 1,
    ForgetsTombstones: 2,
    DropsLateChangesWhole: 2,
    KeepsTheValueOfAnEarlierLife: 3,
    TakesNullForSilence: 2,
    BelievesFabricatedZeros: 3,
    CutsMicroseconds: 1,
    CountsMoneyInFloats: 1,
}
"""Each planted bug with the number of changes that suffices to show it, worked out by hand."""


@pytest.fixture(scope="module")
def generated():
    return generated_cases(300, seed_number=20101201, files_max=9)


@pytest.fixture(scope="module")
def named():
    return named_cases("orders", many_rows=10)


@pytest.mark.parametrize("wrong", PLANTED, ids=lambda wrong: wrong.__name__)
def test_a_wrong_merge_is_caught_and_its_counterexample_is_small(wrong, generated):
    mismatch = find_counterexample(wrong, generated)

    assert mismatch is not None
    assert sum(len(file.changes) for file in mismatch.files) <= PLANTED[wrong], str(mismatch)
    assert len(mismatch.files) <= PLANTED[wrong], str(mismatch)


@pytest.mark.parametrize("wrong", PLANTED, ids=lambda wrong: wrong.__name__)
def test_the_named_cases_alone_catch_every_planted_bug(wrong, named):
    with pytest.raises(NotConformant):
        check(wrong(), named)
