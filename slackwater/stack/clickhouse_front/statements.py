"""Reading a ClickHouse statement just far enough: where an INSERT's data begins, and what must be refused.

Pure. Quotes, comments and brackets are respected, so a value or a column that spells FORMAT is not one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")
    |(?P<word>[A-Za-z_]\w*)
    |(?P<other>.)""",
    re.X | re.S,
)
_FORMAT_NAME = re.compile(rb"\s+(\w+)[ \t]*(?:\r?\n|;)?")
_INSERT_HEAD_LIMIT_BYTES = 256 * 1024

_REFUSED_ENGINE = re.compile(
    r"(?i)\bENGINE\s*=?\s*(Replicated\w*|Shared\w*|Kafka|RabbitMQ|NATS|\w*Queue|Distributed|KeeperMap|MaterializedPostgreSQL)\b"
)
_REFUSED_OTHERWISE = (
    (re.compile(r"(?i)\bON\s+CLUSTER\b"), "ON CLUSTER"),
    (re.compile(r"(?i)^\s*SYSTEM\s+(SHUTDOWN|KILL|RELOAD\s+CONFIG|START\s+LISTEN|STOP\s+LISTEN)\b"), "SYSTEM command"),
    (
        re.compile(r"(?i)^\s*(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(USER|ROLE|QUOTA|ROW\s+POLICY)\b"),
        "access control",
    ),
    (re.compile(r"(?i)^\s*(GRANT|REVOKE)\s"), "access control"),
)
_DEFINES = re.compile(
    r"(?i)^\s*(CREATE|ATTACH|ALTER|DROP|DETACH|RENAME|EXCHANGE|TRUNCATE|OPTIMIZE|SYSTEM|GRANT|REVOKE)\b"
)
_LEADING_COMMENTS = re.compile(r"(?s)^(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)+")
_TAIL_CHARACTERS = 2_000
_LAST_FORMAT = re.compile(r"(?i)\bFORMAT\s+(\w+)\s*(?:SETTINGS\s[^'\"`]*)?;?\s*$")


@dataclass(frozen=True)
class InsertHead:
    """The statement of an INSERT ... FORMAT and where its data begins.

    Attributes:
        sql: The statement up to, not including, FORMAT.
        format: Name of the input format.
        data_offset: Index of the first data byte.
    """

    sql: str
    format: str
    data_offset: int


class NeedMoreBytes(Exception):  # a signal, not an error
    """The bytes seen so far do not tell yet what the statement is."""


def find_insert_head(head: bytes, *, is_complete: bool) -> InsertHead | None:
    """Look for `INSERT INTO ... FORMAT name` at the start of a request.

    Args:
        head: The first bytes of query and body.
        is_complete: No more bytes will come.

    Returns:
        The head, or None when the statement carries no FORMAT data.

    Raises:
        NeedMoreBytes: Call again with more.
    """
    words = _top_level_words(head)
    first = next(words, None)
    if first is None and not is_complete:
        raise NeedMoreBytes
    if first is None or first[0].upper() != b"INSERT":
        return None
    for word, start, end in words:
        name = word.upper()
        if name in (b"VALUES", b"SELECT", b"WITH", b"WATCH"):
            return None
        if name == b"FORMAT":
            match = _FORMAT_NAME.match(head, end)
            if (match is None or match.end() == len(head)) and not is_complete:
                raise NeedMoreBytes
            return InsertHead(head[:start].decode(), match.group(1).decode(), match.end()) if match else None
    if is_complete or len(head) > _INSERT_HEAD_LIMIT_BYTES:
        return None
    raise NeedMoreBytes


def _top_level_words(text: bytes) -> Iterator[tuple[bytes, int, int]]:
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "word" and depth == 0:
            yield token.group(), token.start(), token.end()
        elif token.lastgroup == "other":
            depth += (token.group() in b"([{") - (token.group() in b")]}")


def refusal(sql: str) -> str | None:
    """Return why a definition must not reach the engine, or None.

    A failed CREATE of a replicated or queue table leaves metadata with which chDB cannot open its folder any more.
    """
    if not _DEFINES.match(_LEADING_COMMENTS.sub("", sql)):
        return None
    plain = _without_literals(sql)
    if match := _REFUSED_ENGINE.search(plain):
        return f"ENGINE = {match.group(1)} is not available in the embedded ClickHouse"
    for pattern, what in _REFUSED_OTHERWISE:
        if pattern.search(plain):
            return f"{what} is not available in the embedded ClickHouse"
    return None


def output_format(sql: str) -> str | None:
    """Return the format the query itself asks for at its end, or None."""
    match = _LAST_FORMAT.search(sql[-_TAIL_CHARACTERS:])
    return match.group(1) if match else None


def _without_literals(sql: str) -> str:
    """Return the statement without comments and string literals; quoted identifiers lose their quotes."""
    kept = []
    for token in _TOKEN.finditer(sql.encode("utf-8", "surrogateescape")):
        text = token.group().decode("utf-8", "replace")
        if token.lastgroup == "space" or text.startswith("'"):
            kept.append(" ")
        else:
            kept.append(text.strip('`"') if token.lastgroup == "quoted" else text)
    return "".join(kept).strip()
