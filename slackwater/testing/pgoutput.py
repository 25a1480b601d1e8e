"""Decodes PostgreSQL's `pgoutput` messages (protocol version 1): the oracle for what change data capture would see.

Format: PostgreSQL documentation, "Logical Replication Message Formats". Values stay text, as the plugin sends them.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UNCHANGED_TOAST = object()
"""Stands for a large value the plugin did not send because it did not change."""


@dataclass(frozen=True)
class DecodedChange:
    """One row change.

    Attributes:
        table: Table name without schema.
        op: `c`, `u` or `d`.
        values: Column to text, None or `UNCHANGED_TOAST`; of a delete the replica identity's columns, the rest None.
    """

    table: str
    op: str
    values: dict[str, object]


@dataclass(frozen=True)
class _Relation:
    table: str
    columns: tuple[str, ...]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> int:
        value: int = struct.unpack_from(f">{layout}", self._data, self._at)[0]
        self._at += struct.calcsize(f">{layout}")
        return value

    def letter(self) -> str:
        self._at += 1
        return chr(self._data[self._at - 1])

    def name(self) -> str:
        end = self._data.index(b"\0", self._at)
        value = self._data[self._at : end].decode()
        self._at = end + 1
        return value

    def text(self, length: int) -> str:
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def row(self, columns: tuple[str, ...]) -> dict[str, object]:
        if self.take("h") != len(columns):
            raise ValueError("a tuple does not fit its relation")
        return {name: self._value() for name in columns}

    def _value(self) -> object:
        kind = self.letter()
        if kind == "n":
            return None
        if kind == "u":
            return UNCHANGED_TOAST
        return self.text(self.take("i"))


def decode(messages: Iterable[bytes]) -> Iterator[DecodedChange]:
    """Yield the row changes of a stream of messages, in order."""
    relations: dict[int, _Relation] = {}
    for message in messages:
        reader = _Reader(message)
        kind = reader.letter()
        if kind == "R":
            oid, _, table, _ = reader.take("I"), reader.name(), reader.name(), reader.letter()
            columns = []
            for _ in range(reader.take("h")):
                reader.take("b")
                columns.append(reader.name())
                reader.take("I")
                reader.take("i")
            relations[oid] = _Relation(table, tuple(columns))
        elif kind in "IUD":
            relation = relations[reader.take("I")]
            yield _change(reader, kind, relation)


def _change(reader: _Reader, kind: str, relation: _Relation) -> DecodedChange:
    part = reader.letter()
    row = reader.row(relation.columns)
    if kind == "U" and part in "KO":
        reader.letter()
        row = reader.row(relation.columns)
    return DecodedChange(relation.table, {"I": "c", "U": "u", "D": "d"}[kind], row)
