"""Fewer walks over a statement's tree: a rule of fakesnow walks it only where a node it can change is in it.

fakesnow translates by seventy rules, each a walk over every node, and most find nothing: translating took ten times as
long as parsing. A rule that only the root is for is applied to it alone; one that is not named here walks always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import Expr, exp

CHANGES: dict[str, tuple[type[Expr], ...]] = {
    "identifier": (exp.Anonymous, exp.DynamicIdentifier),
    "upper_case_unquoted_identifiers": (exp.Identifier,),
    "alter_session": (exp.AlterSession,),
    "update_variables": (exp.Set, exp.Alias),
    "current_version": (exp.CurrentVersion,),
    "set_schema": (exp.Use,),
    "create_database": (exp.Create,),
    "extract_comment_on_table": (exp.SchemaCommentProperty, exp.Comment),
    "extract_comment_on_columns": (exp.Alter,),
    "information_schema_fs": (exp.Table,),
    "information_schema_databases": (exp.Table,),
    "drop_schema_cascade": (exp.Drop,),
    "tag": (exp.Alter, exp.Command, exp.Create, exp.Drop),
    "semi_structured_types": (exp.DataType,),
    "try_parse_json": (exp.Anonymous,),
    "split": (exp.Split,),
    "trim_cast_varchar": (exp.Trim,),
    "indices_to_json_extract": (exp.Bracket,),
    "json_extract_cast_as_varchar": (exp.JSONExtract,),
    "json_extract_cased_as_varchar": (exp.JSONExtract,),
    "json_extract_precedence": (exp.JSONExtract, exp.JSONExtractScalar),
    "flatten_value_cast_as_varchar": (exp.Explode,),
    "flatten": (exp.Explode,),
    "regex_replace": (exp.RegexpReplace,),
    "regex_substr": (exp.RegexpExtract,),
    "result_scan": (exp.TableFromRows,),
    "sequence_nextval": (exp.Column,),
    "values_columns": (exp.Values,),
    "to_date": (exp.Anonymous,),
    "timestamp_offsets": (exp.Cast,),
    "to_decimal": (exp.ToNumber,),
    "to_timestamp": (exp.UnixToTime, exp.Anonymous, exp.Cast),
    "to_variant": (exp.ToVariant,),
    "object_construct": (exp.StarMap, exp.Struct, exp.JSONObject),
    "timestamp_ntz": (exp.DataType,),
    "float_to_double": (exp.DataType,),
    "integer_precision": (exp.DataType,),
    "extract_text_length": (exp.Create, exp.Alter),
    "sample": (exp.TableSample,),
    "array_size": (exp.ArraySize,),
    "random": (exp.Rand,),
    "array_agg_within_group": (exp.WithinGroup,),
    "array_agg": (exp.ArrayAgg,),
    "array_construct_etc": (exp.ArrayConstructCompact, exp.Array, exp.ArrayConcat),
    "object_agg": (exp.ObjectAgg,),
    "dateadd_date_cast": (exp.DateAdd,),
    "dateadd_string_literal_timestamp_cast": (exp.DateAdd,),
    "datediff_string_literal_timestamp_cast": (exp.DateDiff,),
    "show_databases": (exp.Show,),
    "show_functions": (exp.Show, exp.Command),
    "show_procedures": (exp.Show,),
    "show_parameters": (exp.Command,),
    "show_warehouses": (exp.Show,),
    "show_schemas": (exp.Show,),
    "show_tables_etc": (exp.Show,),
    "show_columns": (exp.Show,),
    "show_stages": (exp.Show,),
    "show_sequences": (exp.Show,),
    "show_keys": (exp.Show,),
    "show_users": (exp.Show,),
    "create_user": (exp.Command,),
    "haversine": (exp.Anonymous,),
    "hex_string": (exp.HexString,),
    "sha256": (exp.SHA2, exp.SHA2Digest, exp.Anonymous),
    "create_clone": (exp.Clone,),
    "alias_in_join": (exp.Join,),
    "alias_in_where": (exp.Anonymous,),
    "alter_table_strip_cluster_by": (exp.Alter, exp.Command),
    "numeric_agg_implicit_cast": (exp.AggFunc,),
    "create_stage": (exp.Create,),
    "create_file_format": (exp.Create,),
    "list_stage": (exp.ListStage,),
    "put_stage": (exp.Put,),
    "create_table_as": (exp.Create,),
}
"""By rule of fakesnow's `transforms` the nodes without one of which a tree stays as it is."""


class SparingTree:
    """Stands for a tree in fakesnow's chain of `transform` calls.

    Attributes:
        tree: The tree as the rules so far have left it.
    """

    def __init__(self, tree: Expr) -> None:
        self.tree = tree
        self._inner = _kinds_below(tree)

    def transform(self, rule: Callable[..., Expr], *args: Any, copy: bool = True, **options: Any) -> SparingTree:
        """Apply a rule to every node it could change."""
        nodes = CHANGES.get(_name_of(rule), (Expr,))
        if any(issubclass(kind, nodes) for kind in self._inner):
            self.tree = self.tree.transform(rule, *args, copy=copy, **options)
        elif isinstance(self.tree, nodes):
            self.tree = rule(self.tree, *args, **options)
        else:
            return self
        self._inner = _kinds_below(self.tree)
        return self


def _name_of(rule: Callable[..., Expr]) -> str:
    """Return the name of a rule; of `lambda e: transforms.show_schemas(e, ...)` it is `show_schemas`."""
    name = rule.__name__
    if name == "<lambda>":
        module, name = rule.__code__.co_names[:2]
        return name if module == "transforms" else ""
    return name


def _kinds_below(tree: Expr) -> set[type[Expr]]:
    """Return the classes of all nodes but the root."""
    nodes = tree.dfs()
    next(nodes)
    return {type(node) for node in nodes}
