"""Request bodies: chunked or sized, compressed or not, form or raw, as a stream of bytes."""

import email.parser
import email.policy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from io import BufferedIOBase
from typing import BinaryIO, Protocol

import lz4.frame
import zstandard

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class FormPart:
    """One field of a multipart form."""

    name: str
    is_file: bool
    content: bytes


def read_raw(stream: BufferedIOBase | BinaryIO, headers: Mapping[str, str] | Message) -> Iterator[bytes]:
    """Yield the body as it came over the wire.

    Raises:
        ConnectionError: The client went away in the middle; what came so far must not be taken for the whole.
    """
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        while size := _chunk_size(stream.readline()):
            yield from _exactly(stream, size)
            stream.readline()
        while stream.readline().strip():
            pass
        return
    yield from _exactly(stream, int(headers.get("Content-Length") or 0))


def _chunk_size(line: bytes) -> int:
    if not line.strip():
        raise ConnectionError("the client closed the connection in the middle of the request")
    return int(line.split(b";")[0], 16)


def _exactly(stream: BufferedIOBase | BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, _PIECE_BYTES))
        if not piece:
            raise ConnectionError("the client closed the connection in the middle of the request")
        size -= len(piece)
        yield piece


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, /) -> bytes: ...

    @property
    def unused_data(self) -> bytes | None: ...


_DECOMPRESSORS: Mapping[str, Callable[[], _Decompressor]] = {
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "gzip": lambda: zlib.decompressobj(47),
    "deflate": lambda: zlib.decompressobj(47),
}


def decompress(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the plain bytes of a body with this Content-Encoding; compressed frames may follow one another."""
    if encoding in ("", "identity"):
        yield from pieces
        return
    if encoding not in _DECOMPRESSORS:
        raise ValueError(f"Content-Encoding {encoding} is not supported")
    current = _DECOMPRESSORS[encoding]()
    is_whole = True
    for piece in pieces:
        rest: bytes | None = piece
        while rest:
            if current.eof:
                current = _DECOMPRESSORS[encoding]()
            yield current.decompress(rest)
            rest, is_whole = (current.unused_data, True) if current.eof else (None, False)
    if not is_whole:
        raise ValueError(f"the {encoding} body ends in the middle of a frame")


def _decoded(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise TypeError("a form field must not be a nested message")
    return content


def parse_form(content_type: str, body: bytes) -> tuple[FormPart, ...]:
    """Return the fields of a multipart/form-data body in order."""
    head = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    return tuple(
        FormPart(
            name=str(part.get_param("name", header="content-disposition")),
            is_file=part.get_filename() is not None,
            content=_decoded(part),
        )
        for part in message.iter_parts()
    )
