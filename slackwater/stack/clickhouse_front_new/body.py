"""Request bodies: chunked or sized, compressed or not, form or raw, as a stream of bytes."""

import email.parser
import email.policy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import lz4.frame
import zstandard

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class FormPart:
    """One field of a multipart form."""

    name: str
    is_file: bool
    content: bytes


def read_raw(stream: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the body as it came over the wire.

    Raises:
        ConnectionError: The client went away in the middle; what came so far must not be taken for the whole.
    """
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        while size := int(stream.readline().split(b";")[0] or b"0", 16):
            yield from _exactly(stream, size)
            stream.readline()
        while stream.readline().strip():
            pass
        return
    yield from _exactly(stream, int(headers.get("Content-Length") or 0))


def _exactly(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, _PIECE_BYTES))
        if not piece:
            raise ConnectionError("the client closed the connection in the middle of the request")
        size -= len(piece)
        yield piece


def decompress(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the plain bytes of a body with this Content-Encoding; frames may follow one another."""
    if encoding in ("", "identity"):
        yield from pieces
        return
    make = _DECOMPRESSORS.get(encoding)
    if make is None:
        raise ValueError(f"Content-Encoding {encoding} is not supported")
    current = make()
    for piece in pieces:
        while piece:
            yield current.decompress(piece)
            piece = current.unused_data or b""
            if current.eof:
                current = make()
            else:
                break
    
_DECOMPRESSORS: Mapping[str, Callable[[], "object"]] = {}


def parse_form(content_type: str, body: bytes) -> tuple[FormPart, ...]:
    """Return the fields of a multipart/form-data body in order."""
    head = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    return tuple(
        FormPart(
            name=str(part.get_param("name", header="content-disposition")),
            is_file=part.get_filename() is not None,
            content=part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    )
