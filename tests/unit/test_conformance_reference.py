"""The reference merge is right for every named case and for whatever Hypothesis makes up."""

import os

import pytest
from hypothesis import HealthCheck, given, seed, settings

from slackwater.testing.conformance.histories import ENTITIES_UNDER_TEST, cases
from slackwater.testing.conformance.kit import check, check_apart
from slackwater.testing.conformance.named_cases import named_cases
from slackwater.testing.conformance.reference_merge import ReferenceMerge

SEED = int(os.environ.get("CONFORMANCE_SEED", "20101201"))


@pytest.mark.parametrize("entity", ENTITIES_UNDER_TEST)
def test_the_reference_merge_conforms_in_every_named_case(entity):
    named = named_cases(entity, many_rows=2_000)

    assert check(ReferenceMerge(), named) > 4 * len(named)


@seed(SEED)
@settings(max_examples=250, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_the_reference_merge_conforms_in_generated_cases(case):
    assert check_apart(ReferenceMerge, case) > 0
