"""Files of every former shape of an entity, read and merged as the newest shape says."""

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, seed, settings

from slackwater.entities.model import load_entity
from slackwater.errors import MalformedObject
from slackwater.landing.reader import parse_object
from slackwater.testing.conformance.change_files import Fault, FileForm
from slackwater.testing.conformance.evolved import EVOLVED, drawn_evolved_cases, evolved_cases
from slackwater.testing.conformance.histories import generated_cases
from slackwater.testing.conformance.kit import NotConformant, check, check_apart
from slackwater.testing.conformance.older_shapes import shape_at
from slackwater.testing.conformance.reference_merge import ReferenceMerge
from slackwater.testing.conformance.runs import plan_runs
from slackwater.testing.declaring import declaring

SEED = int(os.environ.get("CONFORMANCE_SEED", "20101201"))


@pytest.fixture(autouse=True)
def _evolved_products():
    with declaring(EVOLVED):
        yield


def test_the_reference_merge_conforms_over_every_change_of_the_shape():
    named = evolved_cases()

    assert check(ReferenceMerge(), named) > 4 * len(named)


@seed(SEED)
@settings(max_examples=150, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=drawn_evolved_cases())
def test_the_reference_merge_conforms_in_generated_cases_with_files_of_every_version(case):
    assert check_apart(ReferenceMerge, case) > 0


def test_generated_cases_mix_files_of_every_version_and_form():
    generated = generated_cases(60, seed_number=SEED, files_max=6, of=drawn_evolved_cases())

    shapes = {(file.version, file.form) for case in generated for file in case.files if file.fault is None}
    assert {version for version, _ in shapes} == {1, 2, None}
    assert {form for version, form in shapes if version == 1} == set(FileForm)


def test_an_evolved_entity_was_once_what_its_file_declares_today():
    declared = load_entity("users")
    assert shape_at(declared, 1) == declared
    with declaring():
        assert load_entity("products") == EVOLVED
    first = shape_at(EVOLVED, 1)
    assert first.column_names[1:3] == ("name", "description")
    assert "brand" not in first.column_names


class ForgetsTheOldName(ReferenceMerge):
    def merge(self, held, row, *, toastable):
        blank = {"title": None} if row["brand"] is None else {}
        return super().merge(held, {**row, **blank}, toastable=toastable)


def test_a_merge_that_loses_what_an_old_file_says_is_caught():
    with pytest.raises(NotConformant):
        check(ForgetsTheOldName(), [case for case in evolved_cases() if case.name == "column renamed"])


@pytest.mark.parametrize("form", FileForm)
@pytest.mark.parametrize(
    ("name", "fault", "message"),
    [
        ("file that lacks a column of an earlier version", Fault.LOST_COLUMN, "brand"),
        ("file with an old name beside the new one", Fault.TWO_NAMES, "title and name"),
    ],
)
def test_a_file_that_was_never_of_any_shape_is_refused(name, fault, message, form):
    (case,) = [case for case in evolved_cases() if case.name == name]
    run = plan_runs([case])[0]
    file = replace(next(file for file in case.files if file.fault is fault), form=form)

    def read(file):
        item = run.object_of(file)
        is_json = item.key.endswith(".jsonl.gz")
        return parse_object(item.data, entity=EVOLVED, is_json=is_json, expected_rows=1)

    with pytest.raises(MalformedObject, match=message) as caught:
        read(file)
    assert caught.value.reason == fault.reason
    assert read(replace(file, fault=None)).num_rows == 1
