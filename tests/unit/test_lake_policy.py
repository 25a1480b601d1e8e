"""The policy file is read whole, and a number that contradicts another is refused."""

from copy import deepcopy
from importlib.resources import files

import pytest
import yaml

from slackwater.errors import ConfigurationError
from slackwater.lake.policy import LONGEST_CLOSED_AFTER_HOURS, POLICY_FILE, TableKind, load_policy, parse_policy
from slackwater.naming import ENTITIES
from slackwater.settings import LakeSettings

DOCUMENT = yaml.safe_load(files("slackwater.entities").joinpath(POLICY_FILE).read_text(encoding="utf-8"))


def changed(*path, to):
    document = deepcopy(DOCUMENT)
    inner = document
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = to
    return document


def test_every_table_has_a_rule_and_its_target_is_bounded_by_the_setting():
    for entity in ENTITIES:
        for kind in TableKind:
            rule = load_policy().of_table(kind, entity)
            assert rule.target_file_bytes > 2**24
            assert load_policy().of_table(kind, entity, largest_file_bytes=2**24).target_file_bytes == 2**24


def test_a_partition_is_closed_before_the_time_of_its_last_commit_can_expire():
    shortest_days = min(
        one.ge for one in LakeSettings.model_fields["snapshot_retention_days"].metadata if hasattr(one, "ge")
    )
    assert 24 * shortest_days >= LONGEST_CLOSED_AFTER_HOURS


def test_only_closed_partitions_of_a_changelog_are_rewritten():
    assert load_policy().of_table(TableKind.CHANGELOG, "orders").closed_after_hours > 0


def test_an_entity_changes_single_numbers_of_a_kind():
    policy = parse_policy(changed("entities", "users", "state", to={"min_inputs": 9}))
    assert policy.of_table(TableKind.STATE, "users").min_inputs == 9
    assert policy.of_table(TableKind.STATE, "users").min_score == policy.of_table(TableKind.STATE, "orders").min_score
    assert policy.of_table(TableKind.STATE, "orders").min_inputs == 5


@pytest.mark.parametrize(
    ("document", "told"),
    [
        pytest.param(changed("retention", to={}), "retention", id="retention is a setting"),
        pytest.param(changed("tables", "state", "min_inputs", to=1), "min_inputs", id="min inputs"),
        pytest.param(changed("tables", "state", "min_inputz", to=3), "min_inputz", id="unknown number"),
        pytest.param(changed("tables", to={"state": DOCUMENT["tables"]["state"]}), "changelog", id="missing kind"),
        pytest.param(changed("entities", "order", to={}), "order is not one of", id="unknown entity"),
        pytest.param(changed("entities", "users", "state", to={"min_inputs": 0}), "min_inputs", id="override"),
        pytest.param(changed("tables", "changelog", "closed_after_hours", to=200), "closed_after_hours", id="closed"),
    ],
)
def test_a_number_out_of_range_or_against_another_is_named(document, told):
    with pytest.raises(ConfigurationError, match=told):
        parse_policy(document)
