"""Sets of documents: pages of nested blocks, sheets, slides, forms, designs."""

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

_UUID = string(format="uuid")
_COLOR = enum("default", "gray", "brown", "red", "gray_background", "red_background")
_MARKS = obj({"bold?": flag(), "italic?": flag(), "code?": flag(), "color?": _COLOR})
_RICH = obj(
    {
        "type?": const("text"),
        "text": obj({"content": string(maxLength=2000), "link?": nullable(obj({"url": string(format="uri")}))}),
        "annotations?": _MARKS,
    }
)
_DEFS = {
    "richText": array(_RICH, maxItems=100),
    "parent": any_of(obj({"page_id": _UUID}), obj({"database_id": _UUID}), obj({"workspace": const(True)})),
    "block": any_of(
        *(
            obj(
                {
                    "type?": const(kind),
                    kind: obj({"rich_text": ref("richText"), "children?": array(ref("block"), maxItems=100)}),
                }
            )
            for kind in ("paragraph", "quote", "toggle", "bulleted_list_item", "numbered_list_item")
        ),
        *(
            obj({kind: obj({"rich_text": ref("richText"), "is_toggleable?": flag()})})
            for kind in ("heading_1", "heading_2")
        ),
        obj({"to_do": obj({"rich_text": ref("richText"), "checked": flag()})}),
        obj({"code": obj({"rich_text": ref("richText"), "language": enum("bash", "c", "python", "plain text")})}),
        obj({"divider": obj({})}),
    ),
    "property": any_of(
        obj({"title": ref("richText")}),
        obj({"number": nullable(number())}),
        obj({"checkbox": flag()}),
        obj({"select": obj({"name": string()})}),
        obj({"multi_select": array(obj({"name": string()}))}),
        obj({"date": obj({"start": string(format="date"), "end?": nullable(string(format="date"))})}),
    ),
    "filter": any_of(
        obj({"and": array(ref("filter"))}),
        obj({"or": array(ref("filter"))}),
        obj(
            {
                "property": string(),
                "number": any_of(*(obj({op: number()}) for op in ("equals", "greater_than", "less_than"))),
            }
        ),
        obj(
            {
                "property": string(),
                "rich_text": any_of(*(obj({op: string()}) for op in ("equals", "contains", "starts_with"))),
            }
        ),
    ),
}


def _page_tool(name, properties):
    return tool(name, "", properties, **{"$defs": _DEFS})


PAGES = ToolSet(
    "pages of nested blocks",
    [
        _page_tool(
            "post-page",
            {"parent": ref("parent"), "properties": mapping(ref("property")), "children?": array(ref("block"))},
        ),
        _page_tool("patch-page", {"page_id": _UUID, "properties?": mapping(ref("property")), "archived?": flag()}),
        _page_tool(
            "append-children", {"block_id": _UUID, "children": array(ref("block"), maxItems=100), "after?": _UUID}
        ),
        _page_tool(
            "query-database", {"database_id": _UUID, "filter?": ref("filter"), "page_size?": integer(default=100)}
        ),
        _page_tool("update-block", {"block_id": _UUID, "block": ref("block")}),
        tool("get-block", "", {"block_id": _UUID}),
        tool("delete-block", "", {"block_id": _UUID}),
        tool("search", "", {"query?": string(), "sort?": obj({"direction": enum("ascending", "descending")})}),
        with_parameters(
            "create-comment",
            any_of(
                obj({"parent": obj({"page_id": _UUID}), "rich_text": ref("richText")}),
                obj({"discussion_id": _UUID, "rich_text": ref("richText")}),
                **{"$defs": {"richText": _DEFS["richText"]}, "type": "object"},
            ),
        ),
    ],
    (
        "append-children",
        {
            "block_id": "01234567-89ab-cdef-0123-456789abcdef",
            "children": [
                {
                    "type": "toggle",
                    "toggle": {
                        "rich_text": [
                            {"type": "text", "text": {"content": "More", "link": None}, "annotations": {"bold": True}}
                        ],
                        "children": [{"code": {"rich_text": [{"text": {"content": "x = 1"}}], "language": "python"}}],
                    },
                },
                {"divider": {}},
            ],
        },
    ),
)

_RANGE = string("A1 notation.", pattern=r"^('[^']+'!|\w+!)?[A-Z]{1,3}[0-9]{1,7}(:[A-Z]{1,3}[0-9]{1,7})?$")
_CELL = {"type": ["string", "number", "boolean", "null"]}
_RGB = obj({color: number(minimum=0, maximum=1) for color in ("red", "green", "blue")})
SHEETS = ToolSet(
    "spreadsheet",
    [
        tool("read_range", "", {"spreadsheet_id": string(), "range": _RANGE}),
        tool("write_range", "", {"spreadsheet_id": string(), "range": _RANGE, "values": array(array(_CELL))}),
        tool(
            "append_rows", "", {"spreadsheet_id": string(), "sheet": string(), "rows": array(array(_CELL), minItems=1)}
        ),
        tool("batch_write", "", {"spreadsheet_id": string(), "ranges": mapping(array(array(_CELL)))}),
        tool("add_sheet", "", {"spreadsheet_id": string(), "title": string(minLength=1, maxLength=100)}),
        tool(
            "format_range",
            "",
            {
                "spreadsheet_id": string(),
                "range": _RANGE,
                "background?": _RGB,
                "foreground?": _RGB,
                "bold?": flag(),
                "align?": enum("LEFT", "CENTER", "RIGHT"),
                "numberFormat?": string(),
            },
        ),
        tool(
            "add_chart",
            "",
            {
                "spreadsheet_id": string(),
                "kind": enum("LINE", "BAR", "PIE"),
                "series": array(_RANGE, minItems=1, maxItems=26),
                "anchor?": obj({"row": integer(minimum=0), "column": integer(minimum=0)}),
            },
        ),
        tool(
            "sort",
            "",
            {
                "spreadsheet_id": string(),
                "range": _RANGE,
                "by": array(
                    obj({"column": integer(minimum=1, maximum=18278), "order": enum("asc", "desc")}), minItems=1
                ),
            },
        ),
        tool(
            "find_replace",
            "",
            {"spreadsheet_id": string(), "find": string(minLength=1), "replace": string(), "regex?": flag()},
        ),
        tool("freeze", "", {"spreadsheet_id": string(), "rows?": integer(minimum=0), "columns?": integer(minimum=0)}),
    ],
    ("write_range", {"spreadsheet_id": "s", "range": "Data!A1:C2", "values": [["a", 1, None], [True, -2.5e3, ""]]}),
)

_POINT = {"x": number(), "y": number()}
_BOX = {**_POINT, "width": number(exclusiveMinimum=0), "height": number(exclusiveMinimum=0)}
DESIGN = ToolSet(
    "drawings",
    [
        tool(
            "create_shapes",
            "",
            {
                "frame?": string(),
                "shapes": array(
                    one_of(
                        obj({"kind": const("rectangle"), **_BOX, "radius?": number(minimum=0)}),
                        obj({"kind": const("ellipse"), **_BOX}),
                        obj(
                            {
                                "kind": const("line"),
                                "points": array(array(number(), minItems=2, maxItems=2), minItems=2),
                            }
                        ),
                        obj(
                            {
                                "kind": const("text"),
                                **_POINT,
                                "characters": string(),
                                "size?": integer(minimum=1, maximum=400),
                            }
                        ),
                        discriminator={"propertyName": "kind"},
                    ),
                    minItems=1,
                ),
            },
        ),
        tool(
            "set_fill",
            "",
            {"node": string(pattern=r"^\d+:\d+$"), "color": string(pattern="^#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?$")},
        ),
        tool(
            "export",
            "",
            {"node": string(), "format": enum("png", "svg", "pdf"), "scale?": number(minimum=0.01, maximum=4)},
        ),
        tool("group", "", {"nodes": array(string(), minItems=2), "name?": string()}),
    ],
    (
        "create_shapes",
        {
            "shapes": [
                {"kind": "line", "points": [[0, 0], [1.5, -2]]},
                {"kind": "text", "x": 1, "y": 2, "characters": "é"},
            ]
        },
    ),
)

_QUESTION = obj(
    {
        "title": string(minLength=1),
        "required?": flag(default=False),
        "kind": one_of(
            obj(
                {"choice": obj({"options": array(string(), minItems=1), "multiple?": flag()})},
                additionalProperties=False,
            ),
            obj(
                {"scale": obj({"low": enum("0", "1"), "high": integer(minimum=2, maximum=10)})},
                additionalProperties=False,
            ),
            obj({"text": obj({"paragraph?": flag()})}, additionalProperties=False),
        ),
    }
)
FORMS = ToolSet(
    "forms",
    [
        tool("create_form", "", {"title": string(), "questions": array(_QUESTION, minItems=1, maxItems=200)}),
        tool("list_answers", "", {"formId": string(), "after?": string(format="date-time")}),
        tool("close_form", "", {"formId": string(), "message?": string()}),
    ],
    ("create_form", {"title": "T", "questions": [{"title": "Q", "kind": {"scale": {"low": "1", "high": 5}}}]}),
)

SLIDES = ToolSet(
    "slides",
    [
        tool(
            "add_slide",
            "",
            {
                "layout": enum("title", "title_and_body", "two_columns", "blank"),
                "title?": string(maxLength=120),
                "bullets?": array(
                    any_of(string(), obj({"text": string(), "level": integer(minimum=0, maximum=8)})), maxItems=20
                ),
                "notes?": string(),
            },
        ),
        tool("move_slide", "", {"from": integer(minimum=1), "to": integer(minimum=1)}),
        tool("set_theme", "", {"theme": one_of(const("light"), const("dark"), obj({"accent": string()}))}),
    ],
    ("add_slide", {"layout": "two_columns", "bullets": ["one", {"text": "two", "level": 1}]}),
)

SETS = [PAGES, SHEETS, DESIGN, FORMS, SLIDES]
