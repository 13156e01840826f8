"""Sets at the edges: long lists, wide and deep objects, patterns, formats, and what is degraded or refused."""

from __future__ import annotations

import random

from tool_sets.shapes import (
    ToolSet,
    any_of,
    array,
    const,
    enum,
    integer,
    mapping,
    nullable,
    number,
    obj,
    ref,
    string,
    tool,
)

_random = random.Random(7)
_WORDS = sorted(
    {
        "".join(_random.choices("bcdfglmnprst", k=3)) + _random.choice("aeiou") + _random.choice("nrs")
        for _ in range(900)
    }
)

VALUES = ToolSet(
    "hundreds of values",
    [
        tool("pick_symbol", "", {"symbol": enum(*_WORDS[:600]), "others?": array(enum(*_WORDS[:600]), maxItems=10)}),
        tool("pick_icon", "", {"icon": enum(*(f"fa-{a}-{b}" for a in _WORDS[:20] for b in _WORDS[20:40]))}),
        tool(
            "pick_zone", "", {"zone": enum(*(f"{a.title()}/{b.title()}" for a in _WORDS[40:50] for b in _WORDS[50:90]))}
        ),
        tool(
            "pick_code",
            "",
            {
                "code": {"type": "integer", "enum": list(range(100, 600))},
                "mixed?": {"enum": [None, True, 1, 2.5, "a", ["b"], {"c": 1}]},
            },
        ),
    ],
    ("pick_symbol", {"symbol": _WORDS[300], "others": [_WORDS[0], _WORDS[599]]}),
)

WIDE = ToolSet(
    "wide objects of optional properties",
    [
        tool(
            f"wide_{i}",
            "",
            {
                f"{word}?": (string(), integer(), nullable(number()), array(string()))[j % 4]
                for j, word in enumerate(_WORDS[60 * i : 60 * i + 60])
            },
        )
        for i in range(8)
    ],
    ("wide_2", {_WORDS[121]: 5, _WORDS[124]: "x", _WORDS[178]: None}),
)


def _nested(levels):
    return obj({"name": string(), "inner?": _nested(levels - 1)}, additionalProperties=False) if levels else integer()


def _value(levels):
    return {"name": str(levels), "inner": _value(levels - 1)} if levels else 0


def _to(i):
    return obj({"inner?": ref(f"d{i}")} if i < 160 else {})


DEEP = ToolSet("nested twenty levels deep", [tool("deep", "", {"root": _nested(20)})], ("deep", {"root": _value(20)}))

PATTERNS = ToolSet(
    "patterns with and without anchors",
    [
        tool(
            "anchored",
            "",
            {
                "version": string(
                    pattern=r"^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
                ),
                "slug?": string(pattern="^[a-z]+(?:-[a-z0-9]+)*$"),
            },
        ),
        tool(
            "inside",
            "",
            {
                "has_digit": string(pattern="[0-9]"),
                "ends?": string(pattern=r"\.md$"),
                "begins?": string(pattern="^https?://"),
            },
        ),
        tool(
            "classes",
            "",
            {
                "space": string(pattern=r"^\S+\s\S+$"),
                "word?": string(pattern=r"^[\w.+-]+@[\w-]+\.[\w.]+$"),
                "letters?": string(pattern=r"^\p{L}+$"),
            },
        ),
        tool(
            "counted",
            "",
            {
                "hex": string(pattern="^[0-9a-f]{40}$"),
                "iban?": string(pattern="^[A-Z]{2}[0-9]{2}([A-Z0-9]{4}){3,7}[A-Z0-9]{0,3}$"),
                "long?": string(pattern="^[a-z]{1,200}$"),
            },
        ),
        tool("both", "", {"code": string(pattern="^[A-Z]+$", minLength=2, maxLength=8)}),
    ],
    ("inside", {"has_digit": "abc4", "ends": "read me.md", "begins": "https://example.org"}),
)

FORMATS = ToolSet(
    "formats",
    [
        tool(
            "formats",
            "",
            {
                **{
                    f"{name}?": string(format=name)
                    for name in (
                        "date-time",
                        "time",
                        "date",
                        "duration",
                        "email",
                        "hostname",
                        "ipv4",
                        "ipv6",
                        "uuid",
                        "uri",
                    )
                },
                **{
                    f"{name}?": string(format=name)
                    for name in ("iri", "regex", "json-pointer", "password", "int64", "color", "unix-time")
                },
            },
        )
    ],
    (
        "formats",
        {
            "date-time": "2026-02-28T23:59:59.5Z",
            "duration": "P3DT4H",
            "ipv6": "2001:db8::1",
            "uri": "urn:isbn:1",
            "color": "red",
        },
    ),
)

NUMBERS = ToolSet(
    "numbers at their bounds",
    [
        tool(
            "bounded",
            "",
            {
                "byte": integer(minimum=0, maximum=255),
                "signed?": integer(minimum=-128, maximum=127),
                "safe?": integer(minimum=-9007199254740991, maximum=9007199254740991),
                "share?": number(minimum=0, maximum=1),
                "angle?": number(exclusiveMinimum=-180, maximum=180),
                "step?": integer(multipleOf=25, minimum=0, maximum=1000),
            },
        ),
        tool(
            "long",
            "",
            {
                "id": integer(minimum=0, maximum=9223372036854775807),
                "at?": integer(minimum=1, maximum=253402300799999),
                "cents?": number(multipleOf=0.01),
            },
        ),
    ],
    ("bounded", {"byte": 255, "signed": -128, "safe": -9007199254740991, "share": 0.25, "angle": -179.5, "step": 75}),
)

TUPLES = ToolSet(
    "lists of exact lengths",
    [
        tool("matrix", "", {"rows": array(array(number(), minItems=4, maxItems=4), minItems=4, maxItems=4)}),
        tool(
            "box",
            "",
            {
                "box": {
                    "type": "array",
                    "prefixItems": [const("bbox"), number(), number(), enum("px", "em")],
                    "items": False,
                    "minItems": 4,
                }
            },
        ),
        tool("embedding", "", {"values": array(number(), minItems=64, maxItems=64)}),
        tool("hash", "", {"bytes": array(integer(minimum=0, maximum=255), minItems=16, maxItems=16)}),
    ],
    ("box", {"box": ["bbox", 1, 2.5, "em"]}),
)

_JSON = any_of(string(), number(), {"type": "boolean"}, {"type": "null"}, array(ref("json")), mapping(ref("json")))
_EXPRESSION = any_of(
    number(),
    obj({"var": string()}, additionalProperties=False),
    *(
        obj({op: array(ref("expression"), minItems=2, maxItems=2)}, additionalProperties=False)
        for op in ("+", "-", "*", "<", "and")
    ),
    obj(
        {"if": {"type": "array", "prefixItems": [ref("expression")] * 3, "items": False, "minItems": 3}},
        additionalProperties=False,
    ),
)
RECURSION = ToolSet(
    "recursion",
    [
        tool("put_json", "", {"value": ref("json")}, **{"$defs": {"json": _JSON}}),
        tool("evaluate", "", {"expression": ref("expression")}, **{"$defs": {"expression": _EXPRESSION}}),
        tool("comment", "", {"text": string(), "replies?": array({"$ref": "#"})}, additionalProperties=False),
        tool(
            "family",
            "",
            {"person": ref("person")},
            **{
                "$defs": {
                    "person": obj({"name": string(), "spouse?": nullable(ref("person")), "homes?": array(ref("home"))}),
                    "home": obj({"address": string(), "people?": array(ref("person"))}),
                }
            },
        ),
    ],
    ("evaluate", {"expression": {"if": [{"<": [{"var": "x"}, 3]}, 1, {"+": [1, {"*": [2, 3]}]}]}}),
)

CONDITIONS = ToolSet(
    "conditions, some of which no grammar holds to",
    [
        tool(
            "ship",
            "",
            {"country": string(), "postcode?": string()},
            **{"if": {"properties": {"country": const("DE")}}, "then": {"required": ["postcode"]}},
        ),
        tool("pay", "", {"card?": string(), "iban?": string()}, dependentRequired={"card": ["iban"]}),
        tool("name_it", "", {"name": {"type": "string", "not": {"enum": ["root", "admin"]}}}),
        tool("name_badly", "", {"name": {"type": "string", "not": {"pattern": "^_"}}}),
        tool("choose", "", {"tags": array(string(), contains=const("main"))}),
        tool("login", "", {"password": string(pattern=r"^(?=.*\d)(?=.*[a-z]).{8,}$")}),
        tool("remote", "", {"pet": {"$ref": "https://example.org/pet.json"}}),
        tool("plain", "", {"note": string()}),
    ],
    ("ship", {"country": "DE", "postcode": "10115"}),
    degraded={
        "name_badly": {"not"},
        "choose": {"contains"},
        "login": {"pattern"},
        "remote": {"$ref"},
    },
)

REFUSED = [
    ToolSet(
        "refused: deeper than any tool",
        [tool("good"), tool("deep", "", {"root": ref("d0")}, **{"$defs": {f"d{i}": _to(i + 1) for i in range(160)}})],
        refused="tools[1].function.parameters.properties.root" + ".properties.inner" * 74,
    ),
    ToolSet(
        "refused: recursion without an end",
        [tool("endless", "", {"node": ref("node")}, **{"$defs": {"node": obj({"next": ref("node")})}})],
        refused="tools[0].function.parameters.properties.node",
    ),
    ToolSet(
        "refused: a string that no context holds",
        [tool("novel", "", {"text": string(minLength=1_000_000)})],
        refused="tools[0].function.parameters.properties.text",
    ),
    ToolSet(
        "refused: a pattern that counts to a million",
        [tool("count", "", {"text": string(pattern="^((a{100}){100}){100}$")})],
        refused="tools[0].function.parameters.properties.text",
    ),
    ToolSet(
        "refused: five hundred properties",
        [tool("huge", "", {f"p{i}?": string() for i in range(500)})],
        refused="tools[0].function.parameters",
    ),
]

SETS = [VALUES, WIDE, DEEP, PATTERNS, FORMATS, NUMBERS, TUPLES, RECURSION, CONDITIONS, *REFUSED]
