"""How one statement runs: refusals, transaction rules, retries, and the answer as a Snowflake error or result.

fakesnow's cursor still translates and executes; this class decides what reaches it and what an error means.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast

import duckdb
from fakesnow import transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import parse_one
from sqlglot import Expr, exp

from slackwater.stack.snowflake_emulator import answers, databases, notes, rewrites, session_commands, verdicts
from slackwater.stack.snowflake_emulator.merge import run_merge
from slackwater.stack.snowflake_emulator.parsing import parse
from slackwater.stack.snowflake_emulator.query_history import (
    LONGEST_TEXT,
    Operator,
    ProfiledConnection,
    RanStatement,
    execution_ms,
    operators_of,
)
from slackwater.stack.snowflake_emulator.transactions import Phase, is_dml
from slackwater.stack.snowflake_emulator.translation import SparingTree

if TYPE_CHECKING:
    from slackwater.stack.snowflake_emulator.session import EmulatedSession

ANSWER_COLUMNS = "answer_columns"  # in the meta of the translated statement, which fakesnow keeps with its answer

RawParams = Sequence[Any] | dict[Any, Any] | None
Params = list[Any] | dict[Any, Any] | None


class EmulatedCursor(FakeSnowflakeCursor):
    """fakesnow's cursor under Snowflake's transaction rules."""

    _conn: EmulatedSession
    _profiled: tuple[tuple[Operator, ...], float] = ((), 0.0)

    def execute(self, command: str, params: RawParams = None, *_: Any, **kwargs: Any) -> EmulatedCursor:
        """Run one statement.

        Raises:
            snowflake.connector.errors.Error: The statement failed, was refused, or its transaction is unusable.
        """
        session = self._conn
        with session.lock:
            session.last_used = time.monotonic()
            try:
                self._answer(command, kwargs.get("binding_params") or params)
            except Exception as exc:  # noqa: BLE001  # the border: whatever the engine raises becomes an answer with a code
                self._fail(exc)
            finally:
                session.last_used = time.monotonic()
        return self

    def _describe_last_sql(self) -> list[Any]:
        """Return the columns of the last answer as rows of DESCRIBE: name, type and four fields that nobody reads.

        fakesnow runs a DESCRIBE of the statement for it; DuckDB has told them with the answer already.
        """
        columns = cast(Expr, self._last_transformed).meta[ANSWER_COLUMNS]
        return [(name, kind, None, None, None, None) for name, kind in columns]

    def _fail(self, error: Exception) -> NoReturn:
        """Translate an error; inside a transaction it is undone and becomes unusable. Always raises."""
        session = self._conn
        if answers.is_fatal(error):
            session.stop_process(str(error))
        translated = answers.translate(error)
        self._sqlstate = translated.sqlstate  # type: ignore[assignment]  # upstream infers None
        if session.transaction.phase is Phase.OPEN:
            session.undo()
            session.transaction.abort(str(translated.msg))
        raise translated from error

    def _answer(self, command: str, params: RawParams) -> None:
        """Answer without DuckDB where that is enough, else parse, check the transaction and run."""
        self._sqlstate = None
        session = self._conn
        sent, started_at = command, datetime.now(UTC)
        command = session.history.answer(self._inline_variables(command), self._duck_conn)
        administrative = self._administrative(command)
        statement = administrative or parse(command)
        if refusal := session.transaction.refusal(statement):
            raise refusal
        if feature := verdicts.refused_feature(command):
            raise answers.unsupported(feature)
        self.check_db_and_schema(statement)
        if isinstance(statement, exp.Transaction | exp.Commit | exp.Rollback):
            self._control(statement)
        elif isinstance(statement, exp.Drop) and str(statement.args.get("kind")).upper() == "DATABASE":
            self._run(databases.drop_database(session, statement), None)
        elif isinstance(statement, exp.Create) and statement.kind == "DATABASE" and statement.args.get("clone"):
            self._run(databases.clone_database(session, statement), None)
        elif administrative is not None:
            self._run(statement, None)
        else:
            kind = _kind(statement)
            self._run_with_patience(command, statement, params)
            self._remember(sent, kind, started_at)

    def _remember(self, sent: str, kind: str, started_at: datetime) -> None:
        """Add the statement that has just run to the account's history."""
        operators, milliseconds = self._profiled
        self._conn.history.add(
            RanStatement(
                query_id=str(self._sfqid),
                text=sent[:LONGEST_TEXT],
                kind=kind,
                query_tag=self._conn.query_tag,
                started_at=started_at,
                ended_at=datetime.now(UTC),
                execution_ms=round(milliseconds),
                operators=operators,
            )
        )

    def _administrative(self, command: str) -> Expr | None:
        """Return the statement that answers session administration, or None when `command` is none."""
        session = self._conn
        if (changed := session_commands.altered_parameters(command)) is not None:
            if "QUERY_TAG" in changed:
                session.query_tag = changed["QUERY_TAG"] or ""
            return transforms.SUCCESS_NOP.copy() if changed else None
        if verdicts.judge(command) is verdicts.Verdict.NOOP:
            return transforms.SUCCESS_NOP.copy()
        answer = session_commands.session_answer(command, query_tag=session.query_tag)
        return parse_one(answer) if answer else None

    def _control(self, statement: Expr) -> None:
        """Run BEGIN, COMMIT or ROLLBACK and note the new state."""
        transaction = self._conn.transaction
        if isinstance(statement, exp.Rollback) and transaction.phase is not Phase.OPEN:
            transaction.close()  # undone already, when it failed
            self._execute(transforms.SUCCESS_NOP.copy())
            return
        self._execute(statement)
        if isinstance(statement, exp.Transaction):
            transaction.open()
        else:
            transaction.close()

    def _run_with_patience(self, command: str, statement: Expr, params: RawParams) -> None:
        """Run a statement, waiting for rows or catalog entries that another transaction holds.

        Snowflake lets a statement wait for a lock; DuckDB raises at once. Waiting is possible while nothing is lost by
        starting over: in autocommit, and for the first statement of a transaction.

        Args:
            command: Its text, parsed again where it is tried again: running changes the tree.
            statement: The tree of `command`.
            params: Values of its placeholders.
        """
        session, deadline, pause = self._conn, time.monotonic() + self._conn.options.conflict_wait_seconds, 0.01
        if session.transaction.phase is Phase.NONE and not session.is_autocommit and is_dml(statement):
            session.begin()
        while True:
            try:
                self._run(statement, _bound(params))
            except Exception as exc:
                is_fresh = session.transaction.phase is Phase.NONE or session.transaction.statement_count == 0
                if not (answers.is_conflict(exc) and is_fresh and time.monotonic() < deadline):
                    raise
            else:
                session.transaction.statement_count += 1
                return
            session.roll_back_idle_peers()
            if session.transaction.phase is Phase.OPEN:
                session.undo()
                session.begin()
            if session.stopping.wait(pause * random.uniform(0.5, 1.5)):  # noqa: S311  # jitter, not a secret
                raise answers.transient("the emulator is shutting down")
            pause = min(pause * 1.6, 0.5)
            statement = parse_one(command)

    def _run(self, statement: Expr, params: Params) -> None:
        """Run one parsed statement; what it is split into, and a COPY, is one DuckDB transaction."""
        steps = self._transform_explode(statement)
        is_alone = len(steps) == 1 and not isinstance(statement, exp.Copy)
        if is_alone or self._conn.transaction.phase is Phase.OPEN:
            noted = self._run_steps(steps, params)
        else:
            with self._conn.one_transaction():
                noted = self._run_steps(steps, params)
        notes.write_notes(self._duck_conn, noted)

    def _run_steps(self, steps: Sequence[Expr], params: Params) -> list[str]:
        """Run statements in order; return the notes to write when their transaction is over."""
        session = self._conn
        noted: list[str] = []
        self._profiled = ((), 0.0)
        is_ctas = isinstance(steps[0], exp.Create)
        for step in steps:
            prepared = rewrites.prepare(step, warehouse=session.warehouse, role=session.role)
            transformed = self._transform(prepared, params)
            noted += notes.take_notes(transformed, database=session.database, schema=session.schema)
            self._execute_profiled(transformed, params if transformed.find(exp.Placeholder) else None, is_ctas=is_ctas)
        return noted

    def _execute_profiled(self, transformed: Expr, params: Params, *, is_ctas: bool) -> None:
        """Run one step and add what DuckDB says of it to the statement's profile."""
        duck = self._duck_conn
        profiled = ProfiledConnection(duck)
        self._duck_conn = cast(duckdb.DuckDBPyConnection, profiled)
        try:
            self._execute(transformed, params)
            profiled.note()
        finally:
            self._duck_conn = duck
        profile = profiled.profile or {}
        operators, milliseconds = self._profiled
        affected = self._rowcount if is_dml(transformed) else None
        found = operators_of(profile, is_ctas=is_ctas, affected=affected)
        self._profiled = (operators + found, milliseconds + execution_ms(profile))

    def _transform(self, expression: Expr, params: Params) -> Expr:
        """Translate a statement into DuckDB's; fakesnow only ever calls `transform` on it."""
        return cast(SparingTree, super()._transform(cast(Expr, SparingTree(expression)), params)).tree

    def _transform_explode(self, expression: Expr) -> list[Expr]:
        """Split a statement where DuckDB needs several; a MERGE stays whole."""
        if isinstance(expression, exp.Merge):
            return [expression]
        return rewrites.split_typed_ctas(expression) or super()._transform_explode(expression)

    def _execute(self, transformed: Expr, params: Params = None) -> None:
        if isinstance(transformed, exp.Merge):
            transformed, params = run_merge(self._duck_conn, transformed, params), None
        super()._execute(transformed, params)
        columns = self._duck_conn.description or []
        transformed.meta[ANSWER_COLUMNS] = [(name, str(kind)) for name, kind, *_ in columns]


def _bound(params: RawParams) -> Params:
    return params.copy() if isinstance(params, dict) else list(params) if params else None


def _kind(statement: Expr) -> str:
    """Return Snowflake's QUERY_TYPE of a statement."""
    is_ctas = isinstance(statement, exp.Create) and statement.kind == "TABLE" and statement.expression is not None
    return "CREATE_TABLE_AS_SELECT" if is_ctas else statement.key.upper()
