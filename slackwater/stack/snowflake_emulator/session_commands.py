"""ALTER SESSION, SHOW PARAMETERS and SHOW GRANTS: what a session remembers and what it answers about itself."""

import re

from slackwater.stack.snowflake_emulator import answers

_LEAD = r"(?is)^(?:\s|/\*.*?\*/|--[^\n]*(?:\n|$))*"
_ALTER = re.compile(_LEAD + r"ALTER\s+SESSION\s+(SET|UNSET)\s+(.*?);?\s*$")
_ASSIGNMENT = re.compile(r"\s*,?\s*(\w+)\s*=\s*('(?:[^']|'')*'|[^\s,]+)")
_SHOW_TAG = re.compile(_LEAD + r"SHOW\s+PARAMETERS\s+LIKE\s+'query_tag'")
_SHOW_GRANTS = re.compile(_LEAD + r"SHOW\s+(?:FUTURE\s+)?GRANTS\b")
_UTC = {"UTC", "ETC/UTC"}
_FORWARDED = {"AUTOCOMMIT", "QUOTED_IDENTIFIERS_IGNORE_CASE"}


def altered_parameters(command: str) -> dict[str, str | None] | None:
    """Return the parameters an ALTER SESSION sets (None as value: unset), or None for any other statement.

    An empty dict means that fakesnow implements the parameter and the statement must run.

    Raises:
        ProgrammingError: A parameter would change results in a way the emulator cannot follow.
    """
    if not (match := _ALTER.match(command)):
        return None
    verb, body = match.group(1).upper(), match.group(2)
    if verb == "UNSET":
        return {name.strip().upper(): None for name in body.split(",")}
    given = {name.upper(): _unquoted(value) for name, value in _ASSIGNMENT.findall(body)}
    if _FORWARDED & given.keys():
        if len(given) > 1:
            raise answers.unsupported("ALTER SESSION SET with AUTOCOMMIT and another parameter in one statement")
        return {}
    if given.get("TIMEZONE", "UTC").upper() not in _UTC:
        raise answers.unsupported(f"TIMEZONE = {given['TIMEZONE']} (the emulator runs in UTC)")
    return dict(given)


def session_answer(command: str, *, query_tag: str) -> str | None:
    """Return a select that answers SHOW PARAMETERS LIKE 'query_tag' or SHOW GRANTS, or None for any other statement."""
    if _SHOW_TAG.match(command):
        value = query_tag.replace("'", "''")
        return (
            f"""SELECT 'QUERY_TAG' AS "key", '{value}' AS "value", '' AS "default", 'SESSION' AS "level","""
            """ '' AS "description", 'STRING' AS "type\""""
        )
    if _SHOW_GRANTS.match(command):
        return (
            """SELECT CURRENT_TIMESTAMP() AS "created_on", '' AS "privilege", '' AS "granted_on", '' AS "name","""
            """ '' AS "granted_to", '' AS "grantee_name", 'false' AS "grant_option", '' AS "granted_by" WHERE 1 = 0"""
        )
    return None


def _unquoted(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
