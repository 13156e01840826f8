"""Sets of data: databases, vectors, objects, time series, queries that nest."""

from __future__ import annotations

from tool_sets.shapes import (
    ToolSet,
    any_of,
    array,
    const,
    enum,
    flag,
    integer,
    mapping,
    number,
    obj,
    one_of,
    ref,
    string,
    tool,
)

_IDENTIFIER = string(pattern="^[A-Za-z_][A-Za-z0-9_]{0,62}$")
_COLUMN = obj(
    {
        "name": _IDENTIFIER,
        "type": any_of(
            enum("integer", "bigint", "text", "boolean", "jsonb", "timestamptz"),
            string(pattern=r"^numeric\(\d+,\d+\)$"),
        ),
        "nullable?": flag(default=True),
        "default?": any_of(string(), number(), flag(), {"type": "null"}),
        "references?": obj({"table": _IDENTIFIER, "column": _IDENTIFIER}),
    }
)
SQL = ToolSet(
    "relational database",
    [
        tool("query", "Reads only.", {"sql": string()}),
        tool("execute", "", {"sql": string(), "parameters?": array({"type": ["string", "number", "boolean", "null"]})}),
        tool("list_tables", "", {"schemas?": array(string(), default=["public"])}),
        tool("describe_table", "", {"table": _IDENTIFIER}),
        tool("create_table", "", {"table": _IDENTIFIER, "columns": array(_COLUMN, minItems=1, maxItems=1600)}),
        tool("explain", "", {"sql": string(), "analyze?": flag(), "format?": enum("text", "json")}),
        tool("apply_migration", "", {"name": string(pattern="^[a-z0-9_]+$"), "query": string()}),
        tool(
            "top_queries", "", {"sort_by?": enum("total_time", "mean_time", "resources"), "limit?": integer(default=10)}
        ),
    ],
    (
        "create_table",
        {
            "table": "t",
            "columns": [{"name": "a", "type": "numeric(10,2)"}, {"name": "b", "type": "text", "default": None}],
        },
    ),
)

_SCALAR = any_of(string(), number(), flag())
_QUERY_DEFS = {
    "query": one_of(
        obj({"term": mapping(_SCALAR, minProperties=1, maxProperties=1)}, additionalProperties=False),
        obj({"match": mapping(string(), minProperties=1)}, additionalProperties=False),
        obj(
            {"range": mapping(obj({bound: any_of(number(), string()) for bound in ("gte?", "gt?", "lte?", "lt?")}))},
            additionalProperties=False,
        ),
        obj({"exists": obj({"field": string()})}, additionalProperties=False),
        obj(
            {"bool": obj({f"{part}?": array(ref("query")) for part in ("must", "filter", "should", "must_not")})},
            additionalProperties=False,
        ),
        obj({"match_all": obj({})}, additionalProperties=False),
    ),
    "aggregation": obj(
        {
            "terms?": obj({"field": string(), "size?": integer(minimum=1, maximum=65_536)}),
            "avg?": obj({"field": string()}),
            "date_histogram?": obj({"field": string(), "calendar_interval": enum("day", "week", "month")}),
            "aggs?": mapping(ref("aggregation")),
        }
    ),
}
QUERIES = ToolSet(
    "search index with nested queries",
    [
        tool(
            "search",
            "",
            {
                "index": string(),
                "query": ref("query"),
                "aggs?": mapping(ref("aggregation")),
                "size?": integer(minimum=0, maximum=10_000),
            },
            **{"$defs": _QUERY_DEFS},
        ),
        tool("count", "", {"index": string(), "query?": ref("query")}, **{"$defs": _QUERY_DEFS}),
        tool("get_mapping", "", {"index": string()}),
        tool("list_indices", "", {"pattern": string(default="*")}),
    ],
    (
        "search",
        {
            "index": "logs-*",
            "query": {"bool": {"filter": [{"term": {"level": "error"}}, {"range": {"@timestamp": {"gte": "now-1h"}}}]}},
            "aggs": {"by_host": {"terms": {"field": "host", "size": 5}, "aggs": {"mean": {"avg": {"field": "ms"}}}}},
            "size": 0,
        },
    ),
)

_VECTOR = array(number(), minItems=1, maxItems=4096)
_CONDITION = mapping(
    any_of(_SCALAR, obj({f"${op}?": any_of(_SCALAR, array(_SCALAR)) for op in ("eq", "ne", "gt", "lt", "in")}))
)
VECTORS = ToolSet(
    "vector store",
    [
        tool(
            "upsert",
            "",
            {
                "collection": string(),
                "points": array(
                    obj(
                        {
                            "id": any_of(integer(minimum=0), string(format="uuid")),
                            "vector": any_of(_VECTOR, mapping(_VECTOR)),
                            "payload?": mapping(True),
                        }
                    ),
                    minItems=1,
                    maxItems=1000,
                ),
            },
        ),
        tool(
            "find",
            "",
            {
                "collection": string(),
                "text?": string(),
                "vector?": _VECTOR,
                "where?": _CONDITION,
                "limit?": integer(minimum=1),
            },
        ),
        tool(
            "create_collection",
            "",
            {"name": string(), "size": integer(minimum=1, maximum=65_536), "distance": enum("Cosine", "Dot", "Euclid")},
        ),
        tool("delete_points", "", {"collection": string(), "ids": array(string(), minItems=1)}),
    ],
    ("upsert", {"collection": "c", "points": [{"id": 1, "vector": [0.1, -2e-05, 3], "payload": {"a": {"b": []}}}]}),
)

_BUCKET = string(pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", minLength=3, maxLength=63)
OBJECTS = ToolSet(
    "object storage",
    [
        tool("list_buckets"),
        tool(
            "list_objects",
            "",
            {"Bucket": _BUCKET, "Prefix?": string(maxLength=1024), "MaxKeys?": integer(minimum=1, maximum=1000)},
        ),
        tool(
            "get_object",
            "",
            {
                "Bucket": _BUCKET,
                "Key": string(minLength=1, maxLength=1024),
                "Range?": string(pattern=r"^bytes=\d+-\d*$"),
            },
        ),
        tool(
            "put_object",
            "",
            {
                "Bucket": _BUCKET,
                "Key": string(),
                "Body": string(),
                "Metadata?": {
                    "type": "object",
                    "patternProperties": {"^x-[a-z-]+$": {"type": "string"}},
                    "additionalProperties": False,
                },
            },
        ),
        tool(
            "copy_object",
            "",
            {"From": obj({"Bucket": _BUCKET, "Key": string()}), "To": obj({"Bucket": _BUCKET, "Key": string()})},
        ),
        tool("presign", "", {"Bucket": _BUCKET, "Key": string(), "Seconds?": integer(minimum=1, maximum=604_800)}),
    ],
    ("put_object", {"Bucket": "my-bucket.1", "Key": "a/b", "Body": "", "Metadata": {"x-owner": "me", "x-team": "us"}}),
)

_METRIC = obj(
    {"metric": string(), "labels?": mapping(string()), "aggregate?": enum("avg", "sum", "p50", "p99", "rate")}
)
SERIES = ToolSet(
    "time series",
    [
        tool(
            "query_range",
            "",
            {
                "queries": array(_METRIC, minItems=1, maxItems=20),
                "start": any_of(integer(), string(format="date-time")),
                "end?": any_of(integer(), string(format="date-time"), const("now")),
                "step?": string(pattern="^[1-9][0-9]*(s|m|h|d)$"),
            },
        ),
        tool(
            "forecast",
            "",
            {
                "metric": string(),
                "horizon": integer(minimum=1, maximum=1000),
                "interval?": number(exclusiveMinimum=0, exclusiveMaximum=1),
            },
        ),
        tool(
            "create_alert",
            "",
            {
                "name": string(),
                "condition": obj({"metric": _METRIC, "op": enum(">", "<", ">=", "<="), "value": number()}),
                "for?": string(format="duration"),
                "severity": enum("page", "ticket", "info"),
            },
        ),
    ],
    (
        "query_range",
        {
            "queries": [{"metric": "cpu", "labels": {"host": "a"}, "aggregate": "p99"}],
            "start": 1,
            "end": "now",
            "step": "5m",
        },
    ),
)

_BI = [
    tool(f"{verb}_{what}", "", {"id": integer(minimum=1), **more})
    for what in ("dashboard", "chart", "dataset", "model", "metric", "dimension")
    for verb, more in (
        ("get", {}),
        ("delete", {"force?": flag()}),
        ("share", {"with": array(string(format="email"), minItems=1)}),
    )
]
REPORTS = ToolSet(
    "business intelligence",
    [
        *_BI,
        tool(
            "run_report",
            "",
            {
                "model": string(),
                "fields": array(string(pattern=r"^[a-z_]+\.[a-z_]+$"), minItems=1),
                "filters?": mapping(any_of(string(), array(string()))),
                "sorts?": array(string(pattern="^[a-z_.]+( desc)?$")),
                "limit?": any_of(integer(minimum=1, maximum=50_000), const(-1)),
                "pivots?": array(string(), maxItems=2),
            },
        ),
    ],
    (
        "run_report",
        {
            "model": "sales",
            "fields": ["orders.total"],
            "filters": {"orders.day": ["a", "b"]},
            "sorts": ["orders.total desc"],
            "limit": -1,
        },
    ),
)

SETS = [SQL, QUERIES, VECTORS, OBJECTS, SERIES, REPORTS]
