"""Reading the services' log files."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_TAIL_BYTES = 64 * 1024


def last_lines(log_file: Path, *, count: int) -> list[str]:
    """Return the last lines of a log; empty when there is none."""
    try:
        with log_file.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def follow(log_files: Mapping[str, Path], *, poll_seconds: float = 0.5) -> Iterator[tuple[str, str]]:
    """Yield (service, line) for every line that is appended from now on, for ever; survives rotation."""
    places = {
        name: (path.stat().st_ino, path.stat().st_size) if path.exists() else (0, 0) for name, path in log_files.items()
    }
    while True:
        for name, path in log_files.items():
            if not path.exists():
                continue
            inode, offset = places[name]
            found = path.stat()
            if found.st_ino != inode or found.st_size < offset:
                offset = 0
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            complete = data[: data.rfind(b"\n") + 1]
            places[name] = (found.st_ino, offset + len(complete))
            yield from ((name, line) for line in complete.decode("utf-8", "replace").splitlines())
        time.sleep(poll_seconds)
