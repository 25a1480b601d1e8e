import json
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slackwater.errors import ConfigurationError
from slackwater.settings import StackSettings
from slackwater.stack.environment import full_environment, service_environment, slackwater_environment
from slackwater.stack.ports import LOOPBACK, PORT_OFFSETS, assign_ports, find_free_port_base, is_port_free, taken_ports
from slackwater.stack.profile import STACK_MARKER, Profile, create_profile, load_profile
from slackwater.stack.systems import Systems


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    monkeypatch.chdir(tmp_path)
    return StackSettings(home=tmp_path / "stack", port_base=21_000)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_every_service_has_a_port_of_its_own() -> None:
    ports = assign_ports(21_000)
    assert set(ports) == set(PORT_OFFSETS)
    assert len(set(ports.values())) == len(ports)
    assert min(ports.values()) == 21_000


def test_a_port_with_a_listener_is_taken_and_named(busy_port: int) -> None:
    assert not is_port_free(busy_port)
    assert taken_ports({"prefect": busy_port, "other": 1}, ["prefect"]) == {"prefect": busy_port}


def test_a_found_port_block_is_free() -> None:
    base = find_free_port_base()
    assert taken_ports(assign_ports(base), PORT_OFFSETS) == {}


def test_a_second_call_keeps_identity_and_passwords(settings: StackSettings) -> None:
    first = create_profile(settings)
    second = create_profile(settings)
    assert (second.stack_id, second.passwords) == (first.stack_id, first.passwords)


def test_ports_are_remembered_until_a_port_base_is_given(settings: StackSettings) -> None:
    create_profile(settings)
    remembered = create_profile(StackSettings(home=settings.home))
    moved = create_profile(StackSettings(home=settings.home, port_base=22_000))
    assert remembered.ports["prefect"] == 21_000
    assert moved.ports["prefect"] == 22_000


def test_secrets_are_readable_by_the_owner_only_and_kept_out_of_the_state(settings: StackSettings) -> None:
    profile = create_profile(settings)
    secrets_file = settings.home / "secrets.json"
    assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600
    state = (settings.home / "state.json").read_text()
    assert all(len(password) >= 32 and password not in state for password in profile.passwords.values())


def test_two_stacks_have_different_passwords(settings: StackSettings, tmp_path: Path) -> None:
    other = create_profile(StackSettings(home=tmp_path / "other", port_base=21_100))
    assert not set(create_profile(settings).passwords.values()) & set(other.passwords.values())


def test_a_damaged_state_is_an_error_that_says_what_to_do(settings: StackSettings) -> None:
    create_profile(settings)
    (settings.home / "state.json").write_text('{"stack_id": "x"')
    with pytest.raises(ConfigurationError, match="down --delete"):
        load_profile(settings.home)


def test_there_is_no_profile_before_the_first_start(tmp_path: Path) -> None:
    assert load_profile(tmp_path) is None


def test_a_home_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="SLACKWATER_STACK_HOME"):
        create_profile(StackSettings(home=tmp_path / "file" / "stack"))


def test_an_external_postgres_replaces_only_the_database_in_its_uri(settings: StackSettings) -> None:
    profile = replace(
        create_profile(settings), external_postgres_uri="postgresql://me:pw@db.example:5433/postgres?sslmode=require"
    )
    assert profile.postgres_uri("ledger") == "postgresql://me:pw@db.example:5433/ledger?sslmode=require"
    assert "PGPASSWORD" not in full_environment(profile)


def _profile(settings: StackSettings) -> Profile:
    return create_profile(settings)


def test_the_environment_points_every_system_at_the_stack(settings: StackSettings) -> None:
    profile = _profile(settings)
    systems = Systems.from_environment(slackwater_environment(profile))
    assert systems.s3.endpoint_url == f"http://127.0.0.1:{profile.ports['ministack']}"
    assert systems.warehouse.port == profile.ports["snowflake"]
    assert systems.clickhouse.port == profile.ports["clickhouse"]
    assert systems.events.ui_url == profile.prefect_url
    assert systems.ledger.dsn.get_secret_value().endswith(f":{profile.ports['postgres']}/ledger")


def test_the_printed_environment_has_what_other_programs_need_and_no_process_marker(settings: StackSettings) -> None:
    printed = full_environment(_profile(settings))
    assert {
        "AWS_ENDPOINT_URL",
        "SNOWFLAKE_HOST",
        "CLICKHOUSE_PORT",
        "PGHOST",
        "PREFECT_API_URL",
        "SLACKWATER_LANDING_BUCKET",
    } <= set(printed)
    assert printed["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"
    assert printed["DO_NOT_TRACK"] == "1"
    # A shell that has it would be ended together with the stack's own processes.
    assert STACK_MARKER not in printed


def test_services_do_not_inherit_the_users_configuration(settings: StackSettings) -> None:
    inherited = {
        "HOME": "/home/me",
        "AWS_PROFILE": "work",
        "SLACKWATER_LEDGER_DSN": "postgresql://else",
        "PATH": "/bin",
    }
    environment = service_environment(_profile(settings), inherited)
    assert environment["HOME"].startswith(str(settings.home))
    assert environment["TMPDIR"].startswith(str(settings.home))
    assert "AWS_PROFILE" not in environment
    assert "else" not in environment["SLACKWATER_LEDGER_DSN"]
    assert environment["PATH"] == "/bin"


def test_services_inherit_tuning_of_batches(settings: StackSettings) -> None:
    environment = service_environment(_profile(settings), {"SLACKWATER_LANDING_BATCH_IDLE_SECONDS": "0.5"})
    assert environment["SLACKWATER_LANDING_BATCH_IDLE_SECONDS"] == "0.5"


def test_the_state_file_is_plain_json(settings: StackSettings) -> None:
    profile = create_profile(settings)
    assert json.loads((settings.home / "state.json").read_text())["ports"] == dict(profile.ports)
