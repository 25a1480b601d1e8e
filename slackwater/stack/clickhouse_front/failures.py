"""Errors of the front as ClickHouse reports them: a code, a message and an HTTP status."""

import re

UNKNOWN_EXCEPTION = 1002
NOT_IMPLEMENTED = 48
AUTHENTICATION_FAILED = 516
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
BAD_ARGUMENTS = 36

_CODE = re.compile(r"Code:\s*(\d+)")
_STATUS = {60: 404, 81: 404, SESSION_NOT_FOUND: 404, AUTHENTICATION_FAILED: 401, NOT_IMPLEMENTED: 501}
_CLIENT_ERRORS = {6, 16, 26, 27, BAD_ARGUMENTS, 38, 41, 42, 43, 44, 46, 47, 50, 53, 57, 62, 70, 115, 117, 215, 349}


class FrontFailure(Exception):  # "Error" would suggest the engine failed
    """A request the front itself refuses.

    Attributes:
        code: ClickHouse error code.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


def code_of(error: BaseException) -> int:
    """Return the ClickHouse error code that `error` stands for."""
    if isinstance(error, FrontFailure):
        return error.code
    match = _CODE.search(str(error))
    return int(match.group(1)) if match else UNKNOWN_EXCEPTION


def status_of(code: int) -> int:
    """Return the HTTP status ClickHouse answers this error code with (roughly: 4xx for what the client did)."""
    return _STATUS.get(code, 400 if code in _CLIENT_ERRORS else 500)
