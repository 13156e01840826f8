"""Sets as programs print them: zod, pydantic, Go, PHP, Rust, Java, TypeBox, OpenAPI, GraphQL."""

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
    nullable,
    number,
    obj,
    one_of,
    ref,
    string,
    tool,
    with_parameters,
)

_DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#", "additionalProperties": False}
_ITEM = {
    "sku": string(),
    "price": obj({"amount": number(exclusiveMinimum=0), "currency": enum("EUR", "USD")}, additionalProperties=False),
}
ZOD = ToolSet(
    "zod: undefined as not, references into properties",
    [
        tool(
            "create_order",
            "",
            {
                "first": obj(_ITEM, additionalProperties=False),
                "second?": {"$ref": "#/properties/first"},
                "total?": {"$ref": "#/properties/first/properties/price"},
                "note?": any_of(any_of({"not": {}}, string()), {"type": "null"}),
                "kind": const("order"),
                "extras?": array(any_of(string(), number())),
            },
            **_DRAFT_7,
        ),
        tool(
            "find_order",
            "",
            {
                "by": any_of(
                    obj({"id": string(format="uuid")}, additionalProperties=False),
                    obj(
                        {"email": string(format="email"), "since?": string(format="date-time")},
                        additionalProperties=False,
                    ),
                ),
                "limit?": any_of({"not": {}}, integer(minimum=-9007199254740991, maximum=9007199254740991)),
            },
            **_DRAFT_7,
        ),
        tool("set_labels", "", {"labels": mapping(string(), propertyNames=enum("red", "green", "blue"))}, **_DRAFT_7),
    ],
    (
        "create_order",
        {
            "first": {"sku": "a", "price": {"amount": 0.5, "currency": "EUR"}},
            "second": {"sku": "b", "price": {"amount": 2, "currency": "USD"}},
            "total": {"amount": 9, "currency": "EUR"},
            "note": None,
            "kind": "order",
        },
    ),
)

_PYDANTIC = {
    "Color": {"enum": ["red", "green"], "title": "Color", "type": "string"},
    "Size": obj({"width": integer(title="Width"), "height": integer(title="Height")}, title="Size"),
    "Sun": obj({"kind?": {"const": "sun", "default": "sun"}, "hours?": number()}),
    "Rain": obj({"kind?": {"const": "rain", "default": "rain"}, "inner?": array(ref("Weather"))}),
    "Weather": one_of(ref("Sun"), ref("Rain"), discriminator={"propertyName": "kind"}),
    "Cat": obj(
        {"kind": {"const": "cat", "title": "Kind", "type": "string"}, "lives?": integer(default=9)}, title="Cat"
    ),
    "Dog": obj({"kind": {"const": "dog", "title": "Kind", "type": "string"}, "name": string()}, title="Dog"),
    "Node": obj({"value": number(), "children?": array(ref("Node"), default=[])}, title="Node"),
}
PYDANTIC = ToolSet(
    "pydantic: definitions, titles, defaults",
    [
        tool(
            "paint",
            "",
            {
                "color": {"allOf": [ref("Color")], "default": "red", "description": "Which."},
                "size": ref("Size", description="How large."),
                "layers?": nullable(array(ref("Color")), default=None, title="Layers"),
                "opacity?": any_of(number(minimum=0, maximum=1), {"type": "null"}, default=None),
            },
            title="PaintArguments",
            **{"$defs": _PYDANTIC},
        ),
        tool(
            "adopt",
            "",
            {
                "pet": one_of(
                    ref("Cat"),
                    ref("Dog"),
                    discriminator={"mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}, "propertyName": "kind"},
                    title="Pet",
                )
            },
            **{"$defs": _PYDANTIC},
        ),
        tool(
            "sum_tree",
            "",
            {
                "root": ref("Node"),
                "weights?": {"type": "array", "prefixItems": [number(), number()], "minItems": 2, "maxItems": 2},
            },
            **{"$defs": _PYDANTIC},
        ),
        tool("report", "", {"weather": ref("Weather")}, **{"$defs": _PYDANTIC}),
        tool("set_tags", "", {"tags": array(string(), uniqueItems=True)}),
        tool(
            "schedule",
            "",
            {
                "at": string(format="date-time"),
                "every?": nullable(string(format="duration"), default=None),
                "amount?": any_of(number(), string(pattern=r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$")),
            },
        ),
    ],
    ("paint", {"color": "green", "size": {"width": 3, "height": 4}, "layers": ["red"], "opacity": None}),
    degraded={"set_tags": {"uniqueItems"}, "schedule": {"pattern"}},
)

_DECIMAL = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
_QUANTITY = {
    "anyOf": [integer(), string()],
    "pattern": rf"^(\+|-)?{_DECIMAL}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_DECIMAL}))?$",
}
KUBEBUILDER = ToolSet(
    "Go: types of a cluster's operator",
    [
        tool(
            "apply_database",
            "",
            {
                "apiVersion": const("db.example.org/v1"),
                "kind": const("Database"),
                "metadata": obj({"name": string(maxLength=253), "labels?": mapping(string(maxLength=63))}),
                "spec": obj(
                    {
                        "replicas?": integer(format="int32", minimum=1, maximum=9, default=3),
                        "resources?": obj({"limits?": mapping(_QUANTITY), "requests?": mapping(_QUANTITY)}),
                        "storage": obj({"size": _QUANTITY, "class?": {"type": "string", "nullable": True}}),
                        "generation?": integer(format="int64", minimum=0, maximum=9223372036854775807),
                        "conditions?": array(
                            obj(
                                {
                                    "lastTransitionTime": string(format="date-time"),
                                    "status": enum("True", "False", "Unknown"),
                                    "type": string(
                                        maxLength=316,
                                        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                                    ),
                                }
                            ),
                            **{"x-kubernetes-list-type": "map"},
                        ),
                        "config?": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    }
                ),
            },
        ),
    ],
    (
        "apply_database",
        {
            "apiVersion": "db.example.org/v1",
            "kind": "Database",
            "metadata": {"name": "main"},
            "spec": {
                "replicas": 3,
                "resources": {"limits": {"cpu": 2, "memory": "1.5Gi"}},
                "storage": {"size": "10Gi", "class": None},
                "generation": 9223372036854775807,
                "config": {"a": {"b": 1}},
            },
        },
    ),
)

PHP = ToolSet(
    "PHP: an empty array for an empty object",
    [
        with_parameters("list_orders", {"type": "object", "properties": [], "required": []}),
        with_parameters(
            "get_order",
            {
                "type": "object",
                "properties": {"id": integer(), "options": {"type": "object", "properties": []}},
                "required": ["id"],
            },
        ),
        with_parameters("ping", {"type": "object", "properties": [], "additionalProperties": False}),
        with_parameters(
            "search_orders",
            {
                "type": "object",
                "properties": {"where": {"type": "object", "properties": [], "additionalProperties": string()}},
                "$defs": [],
            },
        ),
    ],
    ("get_order", {"id": 7, "options": {}}),
)

RUST = ToolSet(
    "Rust: enums as oneOf of constants and of objects",
    [
        tool(
            "draw",
            "",
            {
                "shape": one_of(
                    obj({"Circle": obj({"radius": number(format="double")})}, additionalProperties=False),
                    obj(
                        {
                            "Polygon": array(
                                {"type": "array", "items": [number(), number()], "minItems": 2, "maxItems": 2},
                                minItems=3,
                            )
                        },
                        additionalProperties=False,
                    ),
                    enum("Empty", "Full"),
                ),
                "level": one_of(
                    {"type": "string", "const": "low", "description": "Little."}, {"type": "string", "const": "high"}
                ),
                "seed?": {"type": ["integer", "null"], "format": "uint64", "minimum": 0},
                "id?": integer(format="uint64", minimum=0, maximum=18446744073709551615),
                "offset?": integer(format="int64", minimum=-9223372036854775808, maximum=9223372036854775807),
            },
        ),
    ],
    (
        "draw",
        {
            "shape": {"Polygon": [[0, 0], [1, 0], [0.5, 1.5]]},
            "level": "high",
            "seed": None,
            "id": 4611686018427387905,
            "offset": -5,
        },
    ),
)

_LONG = string(pattern=r"^-?\d+$", format="int64")
JAVA = ToolSet(
    "Java and protobuf: long numbers as strings, wrappers, masks",
    [
        tool(
            "updateUser",
            "",
            {
                "user": obj(
                    {
                        "userId": _LONG,
                        "displayName?": string(),
                        "createTime?": string(format="date-time"),
                        "quota?": any_of(_LONG, integer()),
                    }
                ),
                "updateMask": string(
                    pattern=r"^[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)*(,[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)*)*$"
                ),
                "validateOnly?": flag(),
            },
            **{"$id": "urn:jsonschema:org:example:UpdateUser"},
        ),
        tool(
            "listUsers",
            "",
            {
                "pageSize?": integer(format="int32", maximum=2147483647, minimum=-2147483648),
                "pageToken?": string(format="byte"),
            },
        ),
    ],
    ("updateUser", {"user": {"userId": "9007199254740993", "quota": -1}, "updateMask": "displayName,quota.limit"}),
)

TYPEBOX = ToolSet(
    "TypeBox: intersections, records, literals",
    [
        tool(
            "configure",
            "",
            {
                "mode": any_of(
                    {"const": "auto", "type": "string"}, {"const": "manual", "type": "string"}, default="auto"
                ),
                "limits": {"allOf": [obj({"cpu": number()}), obj({"memory": number()})]},
                "routes?": {"type": "object", "patternProperties": {"^(.*)$": string()}},
                "ports?": {
                    "type": "object",
                    "patternProperties": {"^(0|[1-9][0-9]*)$": integer()},
                    "additionalProperties": False,
                },
                "pair?": {
                    "type": "array",
                    "items": [string(), number()],
                    "additionalItems": False,
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
        ),
    ],
    (
        "configure",
        {
            "mode": "manual",
            "limits": {"cpu": 1, "memory": 2.5},
            "routes": {"/a": "b"},
            "ports": {"80": 8080},
            "pair": ["a", 1],
        },
    ),
)

OPENAPI = ToolSet(
    "OpenAPI 3.0: operations with path, query and body",
    [
        tool(
            "GET/pets/{petId}",
            "",
            {"petId": integer(format="int64", minimum=1), "fields?": {"type": "string", "nullable": True}},
        ),
        tool(
            "POST/pets",
            "",
            {
                "body": {
                    "allOf": [
                        obj({"name": string(example="Rex")}),
                        obj(
                            {
                                "tag?": {"type": "string", "nullable": True},
                                "status": enum("available", "sold", nullable=False),
                            }
                        ),
                    ]
                },
                "X-Request-Id?": string(format="uuid"),
            },
        ),
        tool("PUT/pets/{petId}/photo", "", {"petId": integer(), "body": string(format="binary")}),
        tool(
            "GET/pets",
            "",
            {
                "limit?": integer(maximum=100, exclusiveMaximum=True, minimum=0, exclusiveMinimum=False),
                "tags?": array(string(), style="form"),
            },
        ),
    ],
    ("POST/pets", {"body": {"name": "Rex", "tag": None, "status": "sold"}}),
)

PYTHON = ToolSet(
    "Python: names of its types",
    [
        with_parameters(
            "calc",
            {
                "type": "dict",
                "properties": {
                    "a": {"type": "float"},
                    "b": {"type": "int"},
                    "c": {"type": "list", "items": {"type": "str"}},
                },
                "required": ["a"],
            },
        ),
        with_parameters(
            "any_value",
            {
                "type": "dict",
                "properties": {"v": {"type": "any"}, "t": {"type": "tuple", "items": {"type": "bool"}}},
                "required": ["v"],
            },
        ),
    ],
    ("calc", {"a": 1.5, "b": 2, "c": ["x"]}),
)

_WHERE = obj(
    {
        "_and?": array(ref("where")),
        "_or?": array(ref("where")),
        "_not?": ref("where"),
        "title?": obj({f"_{op}?": string() for op in ("eq", "like", "in")}),
        "rating?": obj({f"_{op}?": number() for op in ("eq", "gt", "lt")}),
    },
    additionalProperties=False,
)
GRAPHQL = ToolSet(
    "GraphQL: inputs that refer to themselves",
    [
        tool(
            "books",
            "",
            {
                "where?": ref("where"),
                "order_by?": array(mapping(enum("asc", "desc_nulls_last"), maxProperties=1)),
                "limit?": nullable(integer()),
            },
            **{"$defs": {"where": _WHERE}},
        ),
        tool(
            "graphql",
            "",
            {
                "query": string(),
                "variables?": {"type": ["object", "null"], "additionalProperties": True},
                "operationName?": {"type": ["string", "null"]},
            },
        ),
    ],
    (
        "books",
        {
            "where": {"_or": [{"title": {"_like": "%a%"}}, {"_not": {"rating": {"_lt": 3}}}]},
            "order_by": [{"title": "asc"}],
            "limit": None,
        },
    ),
)

SETS = [ZOD, PYDANTIC, KUBEBUILDER, PHP, RUST, JAVA, TYPEBOX, OPENAPI, PYTHON, GRAPHQL]
