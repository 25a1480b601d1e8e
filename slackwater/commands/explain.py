"""`slackwater explain`: the whole way of one value, and what is missing yet."""

import json
import re
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from slackwater.commands.context import current_systems, out, plain_errors
from slackwater.errors import ConfigurationError

if TYPE_CHECKING:
    from slackwater.explain.model import Story
    from slackwater.explain.stores import Stores


class Subject(StrEnum):
    """What can be explained."""

    ORDER = "order"
    USER = "user"
    PRODUCT = "product"
    ORDER_ITEM = "order_item"
    DAILY = "daily"
    OBJECT = "object"
    BATCH = "batch"


_ENTITIES = {
    Subject.ORDER: "orders",
    Subject.USER: "users",
    Subject.PRODUCT: "products",
    Subject.ORDER_ITEM: "order_items",
}


def explain(
    subject: Annotated[Subject, typer.Argument(help="order, user, product, order_item, daily, object or batch.")],
    name: Annotated[
        str,
        typer.Argument(
            help="A key; a day (YYYY-MM-DD); a landing key or an object's id; a batch's id. Ids may be cut."
        ),
    ],
    is_all: Annotated[bool, typer.Option("--all", help="Every version, newest first, instead of the newest.")] = False,
    as_document: Annotated[bool, typer.Option("--json", help="Print JSON, every version in it.")] = False,
) -> None:
    """Show the whole way of a value: change, file, batch, snapshot, load, refresh, checks, publication, ClickHouse.

    Every step has a time (UTC) and the id under which its store knows it. What has not happened yet is said first. Exit
    status 1 when no store knows what was asked for.
    """
    from slackwater.explain.model import as_json
    from slackwater.explain.render import render
    from slackwater.explain.stores import Stores

    systems = current_systems()
    with plain_errors(), Stores(systems) as stores:
        stores.warm_up(_ENTITIES.get(subject))
        story = _tell(stores, subject, name.strip())
    if as_document:
        print(json.dumps(as_json(story), indent=2))
        return
    for line in render(story, is_all=is_all):
        out.print(line)


def _tell(stores: "Stores", subject: Subject, name: str) -> "Story":
    from slackwater.explain.tell import explain_batch, explain_day, explain_key, explain_object

    if subject in _ENTITIES:
        return explain_key(stores, _ENTITIES[subject], _key(name))
    if subject is Subject.DAILY:
        return explain_day(stores, _day(name))
    if subject is Subject.BATCH:
        return explain_batch(stores, _batch_id(name))
    return explain_object(stores, name)


def _key(name: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", name):
        raise ConfigurationError(f"{name!r} is no key: a whole number is expected")
    return int(name)


def _day(name: str) -> date:
    try:
        return date.fromisoformat(name)
    except ValueError as exc:
        raise ConfigurationError(f"{name!r} is no day: YYYY-MM-DD is expected") from exc


def _batch_id(name: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4,32}", name):
        raise ConfigurationError(f"{name!r} is no batch id: at least four of its digits are expected")
    return name
