"""The supervised programs of the stack: one declaration each, turned into supervisor's configuration.

Pure: nothing is started or written here. When they start, and in which order, is `control.py`'s business.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slackwater.clients.processes import WORKER_SCRIPT
from slackwater.stack.ports import LOOPBACK
from slackwater.stack.postgres import PostgresPlace, server_command
from slackwater.stack.profile import STACK_MARKER, WORK_POOL, Profile

STORES: tuple[str, ...] = ("postgres", "ministack", "snowflake", "clickhouse")
ENGINES: tuple[str, ...] = ("prefect", "worker", "bridge", "keeper")
SERVICES: tuple[str, ...] = (*STORES, *ENGINES)

_LOG_BYTES = 10 * 2**20
_LOG_BACKUPS = 2


@dataclass(frozen=True)
class Program:
    """One supervised process.

    Attributes:
        name: Service name, as in `slackwater stack status`.
        command: Command line.
        directory: Working directory.
        environment: Variables beside the common ones of the stack.
        account: Account to run as; None = the supervisor's.
        stop_signal: Signal of an orderly stop.
        stop_wait_seconds: How long an orderly stop may take before SIGKILL.
    """

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    stop_signal: str = "TERM"
    stop_wait_seconds: int = 15


def declare_programs(profile: Profile, place: PostgresPlace | None) -> tuple[Program, ...]:
    """Return the stack's programs in start order.

    Args:
        profile: The stack.
        place: Where PostgreSQL's files are; None when it is external and so not supervised.
    """
    python, project, data = sys.executable, profile.project_dir, profile.data_dir
    ports = {service: str(port) for service, port in profile.ports.items()}
    worker_options = ["--pool", WORK_POOL, "--name", "embedded", "--limit", str(profile.worker_limit)]
    programs = [
        Program(
            "ministack",
            [python, "-m", "ministack.app"],
            project,
            environment={
                "GATEWAY_PORT": ports["ministack"],
                "BIND_HOST": LOOPBACK,
                "MINISTACK_HOST": LOOPBACK,
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(data / "s3"),
                "PERSIST_STATE": "1",
                "STATE_DIR": str(data / "ministack"),
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
                "LOG_LEVEL": "WARNING",
                "SERVICES": "s3,sqs,sts,iam",
            },
        ),
        Program(
            "snowflake",
            _module(python, "slackwater.stack.snowflake_emulator", ports["snowflake"], data / "snowflake"),
            project,
        ),
        Program(
            "clickhouse",
            _module(python, "slackwater.stack.clickhouse_front", ports["clickhouse"], data / "clickhouse"),
            project,
        ),
        Program(
            "prefect",
            [python, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", ports["prefect"]],
            project,
        ),
        Program(
            "worker",
            [python, str(project / "deployments" / WORKER_SCRIPT), *worker_options],
            project,
            stop_wait_seconds=20,
        ),
        Program("bridge", [python, "-m", "slackwater.landing.bridge"], project),
        Program("keeper", [python, "-m", "slackwater.stack.keeper"], project),
    ]
    if place is not None:
        server = Program(
            "postgres",
            server_command(place, profile.ports["postgres"]),
            Path("/"),
            account=place.account,
            stop_signal="INT",
            stop_wait_seconds=30,
        )
        programs.insert(0, server)
    return tuple(programs)


def render_supervisor_config(profile: Profile, programs: Sequence[Program], *, socket: Path, is_root: bool) -> str:
    """Return the configuration file of supervisord. It holds no secret: those are in the inherited environment."""
    lines = [
        "; Written by `slackwater stack up` at every start; edits are lost.",
        "[unix_http_server]",
        f"file={_escape(socket)}",
        "chmod=0700",
        "[supervisord]",
        f"logfile={_escape(profile.log_dir / 'supervisord.log')}",
        "logfile_maxbytes=2MB",
        "logfile_backups=1",
        f"pidfile={_escape(profile.home / 'supervisord.pid')}",
        f"childlogdir={_escape(profile.log_dir)}",
        f"directory={_escape(profile.home)}",
        "nodaemon=false",
        "umask=022",
        "minfds=1024",
        *(["user=root"] if is_root else []),
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisorctl]",
        f"serverurl=unix://{_escape(socket)}",
    ]
    for program in programs:
        lines += _program_section(profile, program)
    return "\n".join(lines) + "\n"


def _module(python: str, module: str, port: str, data: Path) -> list[str]:
    return [python, "-m", module, "--port", port, "--data", str(data)]


def _program_section(profile: Profile, program: Program) -> list[str]:
    variables = {STACK_MARKER: profile.stack_id, **program.environment}
    environment = ",".join(f'{name}="{_escape(value)}"' for name, value in variables.items())
    return [
        f"[program:{program.name}]",
        f"command={' '.join(_quote(word) for word in program.command)}",
        f"directory={_escape(program.directory)}",
        f"environment={environment}",
        *([f"user={program.account}"] if program.account else []),
        "autostart=false",
        "autorestart=true",
        "startsecs=2",
        "startretries=20",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_wait_seconds}",
        f"stopasgroup={'false' if program.name == 'postgres' else 'true'}",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_escape(profile.log_dir / f'{program.name}.log')}",
        f"stdout_logfile_maxbytes={_LOG_BYTES}",
        f"stdout_logfile_backups={_LOG_BACKUPS}",
    ]


def _escape(value: object) -> str:
    return str(value).replace("%", "%%").replace('"', '\\"')


def _quote(word: str) -> str:
    return '"' + _escape(word).replace("\\", "\\\\") + '"' if any(c in word for c in " \t'\"\\;") else _escape(word)
