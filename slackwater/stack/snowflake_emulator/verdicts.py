"""Which statements never reach DuckDB: administration that does nothing here, and features that are refused.

Pure text rules on the head of a statement. A refusal is loud on purpose: a swallowed CREATE STREAM would let a green
run suggest that streams were tested.
"""

import re
from enum import Enum

_GAP = r"(?:\s|/\*.*?\*/|--[^\n]*(?:\n|$))"
_LEAD = r"(?is)^" + _GAP + "*"
_DDL = r"(?:CREATE(?:\s+OR\s+(?:REPLACE|ALTER))?|ALTER|DROP|SHOW|DESCRIBE|DESC|UNDROP|EXECUTE)\s+"

_DOES_NOTHING = (
    _LEAD
    + r"(?:CREATE(?:\s+OR\s+REPLACE)?|ALTER|DROP)\s+(?:WAREHOUSE|ROLE|RESOURCE\s+MONITOR|STORAGE\s+INTEGRATION)\b",
    _LEAD + r"(?:GRANT|REVOKE)\s",
    _LEAD + r"USE\s+(?:SECONDARY\s+ROLES|ROLE|WAREHOUSE)\b",
)

_REFUSED = {
    "STREAM": _DDL + r"(?:IMMUTABLE\s+)?STREAM\b",
    "TASK": _DDL + r"TASK\b",
    "PIPE": _DDL + r"PIPE\b",
    "ALERT": _DDL + r"ALERT\b",
    "DYNAMIC TABLE": _DDL + r"(?:TRANSIENT\s+)?DYNAMIC\s+(?:ICEBERG\s+)?TABLE\b",
    "ICEBERG TABLE": _DDL + r"ICEBERG\s+TABLE\b",
    "EXTERNAL TABLE": _DDL + r"EXTERNAL\s+TABLE\b",
    "HYBRID TABLE": _DDL + r"HYBRID\s+TABLE\b",
    "EXTERNAL VOLUME": _DDL + r"EXTERNAL\s+VOLUME\b",
    "CATALOG INTEGRATION": _DDL + r"CATALOG\s+INTEGRATION\b",
    "MATERIALIZED VIEW": _DDL + r"(?:SECURE\s+)?MATERIALIZED\s+VIEW\b",
    "FUNCTION": _DDL + r"(?:SECURE\s+|TEMP(?:ORARY)?\s+)*(?:EXTERNAL\s+)?FUNCTION\b(?!S)",
    "PROCEDURE": _DDL + r"(?:SECURE\s+)?PROCEDURE\b(?!S)",
    "MASKING POLICY": _DDL + r"MASKING\s+POLICY\b",
    "ROW ACCESS POLICY": _DDL + r"ROW\s+ACCESS\s+POLICY\b",
    "EXECUTE IMMEDIATE": r"EXECUTE\s+IMMEDIATE\b",
    "CALL": r"CALL\s",
    "UNDROP": r"UNDROP\s",
    "REMOVE": r"(?:REMOVE|RM)\s+['@]",
    "GET": r"GET\s+['@]",
    "INSERT ALL": r"INSERT\s+(?:OVERWRITE\s+)?(?:ALL|FIRST)\b",
    "Snowflake Scripting": r"(?:DECLARE\b|BEGIN" + _GAP + r"+(?!TRANSACTION\b|WORK\b|NAME\b|;|/\*|--)\S)",
}

_NOOP_PATTERNS = tuple(re.compile(pattern) for pattern in _DOES_NOTHING)
_REFUSED_PATTERNS = tuple((feature, re.compile(_LEAD + pattern)) for feature, pattern in _REFUSED.items())


class Verdict(Enum):
    """What happens to a statement before it is parsed."""

    RUN = "run"
    NOOP = "noop"


def refused_feature(command: str) -> str | None:
    """Return the name of the Snowflake feature that `command` needs and the emulator lacks, or None."""
    return next((feature for feature, pattern in _REFUSED_PATTERNS if pattern.match(command)), None)


def judge(command: str) -> Verdict:
    """Return NOOP for administration statements that succeed without doing anything, RUN for all others."""
    return Verdict.NOOP if any(pattern.match(command) for pattern in _NOOP_PATTERNS) else Verdict.RUN
