import configparser
import os
from pathlib import Path

import pytest

from slackwater.stack.keeper import store_processes
from slackwater.stack.logs import last_lines
from slackwater.stack.ports import assign_ports
from slackwater.stack.postgres import PostgresPlace, plan_place, server_command
from slackwater.stack.profile import Profile
from slackwater.stack.programs import SERVICES, declare_programs, render_supervisor_config
from slackwater.stack.supervisor import ProcessState, socket_path

PLACE = PostgresPlace(Path("/pg/bin"), Path("/pg/data"), "nobody", None)


def _profile(home: Path) -> Profile:
    passwords = {use: f"secret-{use}" for use in ("postgres", "s3", "snowflake", "clickhouse")}
    return Profile(home, home / "project 100%", "id", assign_ports(21_000), passwords)


def _rendered(home: Path, place: PostgresPlace | None, *, is_root: bool = False) -> configparser.RawConfigParser:
    profile = _profile(home)
    text = render_supervisor_config(
        profile, declare_programs(profile, place), socket=home / "supervisor.sock", is_root=is_root
    )
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_every_service_is_supervised_and_restarted_but_started_by_us(tmp_path: Path) -> None:
    parser = _rendered(tmp_path, PLACE)
    for service in SERVICES:
        section = parser[f"program:{service}"]
        assert section["autorestart"] == "true", service
        assert section["autostart"] == "false", service
        assert section["stdout_logfile_maxbytes"] != "0", service
        assert "SLACKWATER_STACK_ID" in section["environment"], service


def test_an_external_postgres_is_not_supervised(tmp_path: Path) -> None:
    assert "program:postgres" not in _rendered(tmp_path, None)


def test_only_postgres_changes_the_account(tmp_path: Path) -> None:
    parser = _rendered(tmp_path, PLACE, is_root=True)
    accounts = {name: parser[name].get("user") for name in parser.sections() if name.startswith("program:")}
    assert accounts.pop("program:postgres") == "nobody"
    assert set(accounts.values()) == {None}
    assert parser["supervisord"]["user"] == "root"


def test_the_configuration_holds_no_password(tmp_path: Path) -> None:
    profile = _profile(tmp_path)
    text = render_supervisor_config(profile, declare_programs(profile, PLACE), socket=tmp_path / "s", is_root=False)
    assert "secret-" not in text


def test_percent_signs_and_spaces_of_paths_survive(tmp_path: Path) -> None:
    assert _rendered(tmp_path, PLACE)["program:worker"]["directory"].endswith("project 100%%")


def test_postgres_listens_on_loopback_only_and_keeps_logical_wal() -> None:
    command = server_command(PLACE, 5_555)
    assert "listen_addresses=127.0.0.1" in command
    assert "wal_level=logical" in command
    assert "port=5555" in command


def test_an_ordinary_user_runs_postgres_himself_inside_the_home(tmp_path: Path) -> None:
    place = plan_place(tmp_path, user_id=1_000)
    assert (place.account, place.outside_dir) == (None, None)
    assert place.data.is_relative_to(tmp_path)


def test_root_hands_postgres_to_an_account_that_can_reach_the_data(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = plan_place(tmp_path / "stack", account="nobody", user_id=0)
    assert place.account == "nobody"
    assert place.outside_dir is not None
    assert place.data.is_relative_to(place.outside_dir)
    assert not place.data.is_relative_to(tmp_path)


@pytest.mark.parametrize("depth", [1, 30], ids=["short", "too long for a socket"])
def test_the_supervisors_socket_always_has_a_usable_path(depth: int) -> None:
    home = Path("/" + "/".join(["folder"] * depth))
    path = socket_path(home)
    assert len(os.fsencode(path)) < 100
    assert path.is_relative_to(home) == (depth == 1)


def test_the_keeper_notices_a_new_process_of_a_store_only() -> None:
    before = {name: ProcessState(name, "RUNNING", 10, "", 0) for name in SERVICES}
    worker_restarted = before | {"worker": ProcessState("worker", "RUNNING", 11, "", 0)}
    store_restarted = before | {"ministack": ProcessState("ministack", "RUNNING", 11, "", 0)}
    assert store_processes(worker_restarted) == store_processes(before)
    assert store_processes(store_restarted) != store_processes(before)


def test_last_lines_of_a_log_and_of_none(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_lines(log, count=2) == []
    log.write_text("one\ntwo\nthree\n")
    assert last_lines(log, count=2) == ["two", "three"]
