"""Databases: dropped for good, and cloned with all that lies in them."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from snowflake_sessions import NOT_NULL, UNSUPPORTED, Emulator, make_table, refusal, rows

pytestmark = pytest.mark.contract

LENGTH = "select character_maximum_length from information_schema.columns where column_name = 'S'"


@pytest.fixture
def source(emulator: Emulator) -> Iterator[Any]:
    """A session in a database with a table, a view on it and a stage."""
    with closing(emulator.connect(database="SOURCE")) as session:
        make_table(session, "t", "id number not null, s varchar(7)", "(1, 'a')")
        rows(session, "create view v as select id + 1 as next from t")
        rows(session, "create stage cloned_stage url='s3://lake/wh/'")
        yield session
        for database in ("SOURCE", "COPY"):
            rows(session, f"drop database if exists {database}")


def test_drop_database_removes_it_for_good(emulator: Emulator) -> None:
    with closing(emulator.connect(database="SHORT_LIVED")) as session:
        make_table(session, "t", "id number", "(1)")
    with closing(emulator.connect()) as session:
        rows(session, "drop database if exists short_lived")
        rows(session, "drop database if exists short_lived")
        assert refusal(session, "select * from short_lived.raw.t")
    assert not (emulator.data / "databases" / "SHORT_LIVED.db").exists()


def test_a_clone_holds_what_its_source_holds_and_goes_its_own_way(emulator: Emulator, source: Any) -> None:
    assert rows(source, "create database copy clone source") == [("Database COPY successfully created.",)]
    with closing(emulator.connect(database="COPY")) as copy:
        assert rows(copy, "select id, s from t") == [(1, "a")]
        assert rows(copy, LENGTH) == rows(source, LENGTH) == [(7,)]
        assert refusal(copy, "insert into t values (null, 'b')").errno == NOT_NULL
        assert "already exists" in str(refusal(copy, "create stage cloned_stage url='s3://lake/wh/'"))
        tables = "select table_catalog, table_name from information_schema.tables where table_schema = 'RAW'"
        assert rows(copy, tables) == [("COPY", "T")]
        rows(copy, "insert into t values (2, 'b')")
        rows(source, "delete from t")
        assert rows(copy, "select next from v order by 1") == [(2,), (3,)]
        assert rows(source, "select count(*) from t") == [(0,)]


def test_a_clone_is_made_of_a_database_that_is_there_under_a_name_that_is_free(emulator: Emulator, source: Any) -> None:
    assert "does not exist" in str(refusal(source, "create database copy clone nowhere"))
    assert not (emulator.data / "databases" / "COPY.db").exists()
    rows(source, "create database copy clone source")
    assert "already exists" in str(refusal(source, "create database copy clone source"))
    assert "already exists" in str(rows(source, "create database if not exists copy clone source"))
    assert refusal(source, "create or replace database copy clone source").errno == UNSUPPORTED
    assert refusal(source, "create database other clone source at (offset => -60)").errno == UNSUPPORTED
    assert refusal(source, 'create database "../other" clone source').errno == UNSUPPORTED


def test_a_clone_survives_a_kill(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "data").start()
    try:
        with closing(emulator.connect(database="SOURCE")) as session:
            make_table(session, "t", "id number", "(1)")
            rows(session, "create database copy clone source")
        emulator.stop(signal.SIGKILL)
        emulator.start()
        with closing(emulator.connect(database="COPY")) as copy:
            assert rows(copy, "select id from t") == [(1,)]
    finally:
        emulator.stop(signal.SIGKILL)
