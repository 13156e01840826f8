"""Sets of the web: browsers, crawlers with huge bounds, search, maps."""

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
    string,
    tool,
)

_TARGET = {"element": string("What it is, for the permission."), "ref": string("Its mark in the snapshot.")}
_KEY = array(enum("Alt", "Control", "Meta", "Shift"))
BROWSER = ToolSet(
    "browser",
    [
        tool("page_open", "", {"url": string()}, additionalProperties=False),
        tool("page_back"),
        tool("page_snapshot", "", {"filename?": string()}, additionalProperties=False),
        tool(
            "page_click",
            "",
            {**_TARGET, "doubleClick?": flag(), "button?": enum("left", "right", "middle"), "modifiers?": _KEY},
        ),
        tool(
            "page_type",
            "",
            {**_TARGET, "text": string(), "submit?": flag(), "slowly?": flag()},
            additionalProperties=False,
        ),
        tool("page_hover", "", _TARGET, additionalProperties=False),
        tool(
            "page_drag",
            "",
            {"startElement": string(), "startRef": string(), "endElement": string(), "endRef": string()},
        ),
        tool("page_select", "", {**_TARGET, "values": array(string())}, additionalProperties=False),
        tool(
            "page_fill_form",
            "",
            {
                "fields": array(
                    obj(
                        {
                            "name": string(),
                            "type": enum("textbox", "checkbox", "radio", "combobox", "slider"),
                            "ref": string(),
                            "value": string(),
                        },
                        additionalProperties=False,
                    )
                )
            },
        ),
        tool("page_press", "", {"key": string()}, additionalProperties=False),
        tool("page_evaluate", "", {"function": string("() => {…}"), "element?": string(), "ref?": string()}),
        tool(
            "page_screenshot",
            "",
            {"type?": enum("png", "jpeg", default="png"), "fullPage?": flag(), "filename?": string()},
        ),
        tool(
            "page_wait", "", {"time?": number(), "text?": string(), "textGone?": string()}, additionalProperties=False
        ),
        tool("page_dialog", "", {"accept": flag(), "promptText?": string()}, additionalProperties=False),
        tool("page_upload", "", {"paths?": array(string())}, additionalProperties=False),
        tool("page_resize", "", {"width": number(), "height": number()}, additionalProperties=False),
        tool("page_requests", "", {"includeStatic?": flag(default=False)}, additionalProperties=False),
        tool("page_console", "", {"level?": enum("error", "warning", "info", "debug")}, additionalProperties=False),
        tool(
            "tabs",
            "",
            {"action": enum("list", "new", "close", "select"), "index?": number()},
            additionalProperties=False,
        ),
        tool("close_browser"),
        tool("page_pdf", "", {"filename?": string()}),
    ],
    ("page_click", {"element": "Buy button", "ref": "e12", "button": "left", "modifiers": ["Control", "Shift"]}),
)

# Bounds that nobody means: unfolded, a hundred strings of ten thousand characters are a million states.
_TEXT = string(maxLength=10_000)
_TEXTS = array(_TEXT, maxItems=100)
_EXTRACT = obj(
    {"type": const("extract"), "instruction?": _TEXT, "shape?": mapping({}, propertyNames={"type": "string"})}
)
_ACTION = any_of(
    obj({"type": const("wait"), "milliseconds?": integer(minimum=1, maximum=60_000), "selector?": _TEXT}),
    obj({"type": const("click"), "selector": _TEXT, "all?": flag()}),
    obj({"type": const("write"), "text": _TEXT}),
    obj({"type": const("scroll"), "direction": enum("up", "down"), "selector?": _TEXT}),
    obj({"type": const("script"), "script": string(maxLength=100_000)}),
)
_FETCHING = obj(
    {
        "outputs?": array(any_of(enum("text", "links", "html", "picture"), _EXTRACT), maxItems=100),
        "keepTags?": _TEXTS,
        "dropTags?": _TEXTS,
        "headers?": mapping(_TEXT, propertyNames={"type": "string"}),
        "steps?": array(_ACTION, maxItems=100),
        "patience?": integer(minimum=0, maximum=120_000),
        "place?": obj({"country": string(minLength=2, maxLength=2), "languages?": _TEXTS}),
    }
)
_CRAWL = {
    "start": string(maxLength=10_000, format="uri"),
    "only?": _TEXTS,
    "never?": _TEXTS,
    "depth?": integer(minimum=0, maximum=1000),
    "pages?": integer(minimum=1, maximum=100_000),
    "fetching?": _FETCHING,
    "callback?": any_of(
        _TEXT,
        obj({"url": _TEXT, "headers?": mapping(_TEXT), "events?": array(enum("page", "done", "failed"), maxItems=100)}),
    ),
}
CRAWLER = ToolSet(
    "crawler with huge bounds",
    [
        tool("crawl_site", "", _CRAWL),
        tool("fetch_page", "", {"address": _TEXT, "fetching?": _FETCHING}),
        tool("fetch_pages", "", {"addresses": _TEXTS, "fetching?": _FETCHING}),
        tool("list_addresses", "", {"start": _TEXT, "containing?": _TEXT, "most?": integer(minimum=1, maximum=30_000)}),
        tool(
            "search_web",
            "",
            {"query": _TEXT, "sources?": array(enum("web", "news", "images"), maxItems=100), "fetching?": _FETCHING},
        ),
        tool(
            "extract",
            "",
            {
                "addresses": _TEXTS,
                "instruction?": _TEXT,
                "shape?": mapping({}),
                "batches?": array(array(_TEXTS, maxItems=100), maxItems=100),
            },
        ),
        tool("job_status", "", {"job": _TEXT}),
    ],
    (
        "crawl_site",
        {
            "start": "https://example.org/docs",
            "never": ["/blog/.*"],
            "depth": 3,
            "fetching": {
                "outputs": ["text", {"type": "extract", "instruction": "prices", "shape": {"price": "number"}}],
                "headers": {"Accept-Language": "de"},
                "steps": [{"type": "wait", "milliseconds": 500}, {"type": "click", "selector": "#more", "all": True}],
            },
        },
    ),
)

SEARCH = ToolSet(
    "search",
    [
        tool(
            "web_search",
            "",
            {
                "query": string(minLength=1, maxLength=400),
                "count?": integer(minimum=1, maximum=20, default=10),
                "offset?": integer(minimum=0, maximum=9),
                "freshness?": any_of(
                    enum("day", "week", "month", "year"), string(pattern=r"^\d{4}-\d{2}-\d{2}to\d{4}-\d{2}-\d{2}$")
                ),
                "domains?": array(string(format="hostname")),
            },
        ),
        tool("local_search", "", {"query": string(), "near?": string(), "radius?": number(minimum=0, maximum=50_000)}),
    ],
    ("web_search", {"query": "llama", "count": 5, "freshness": "2026-01-01to2026-02-01", "domains": ["example.org"]}),
)

_PLACE = any_of(
    string("An address."), obj({"lat": number(minimum=-90, maximum=90), "lng": number(minimum=-180, maximum=180)})
)
MAPS = ToolSet(
    "maps",
    [
        tool("geocode", "", {"address": string()}),
        tool("reverse_geocode", "", {"latitude": number(), "longitude": number()}),
        tool(
            "directions",
            "",
            {
                "origin": _PLACE,
                "destination": _PLACE,
                "waypoints?": array(_PLACE, maxItems=25),
                "mode?": enum("driving", "walking", "bicycling", "transit"),
                "departure?": any_of(const("now"), integer()),
            },
        ),
        tool("distances", "", {"origins": array(_PLACE, minItems=1), "destinations": array(_PLACE, minItems=1)}),
        tool(
            "places",
            "",
            {
                "query": string(),
                "location?": _PLACE,
                "openNow?": flag(),
                "price?": array(integer(minimum=0, maximum=4)),
            },
        ),
        tool(
            "elevation",
            "",
            {"path": array({"type": "array", "prefixItems": [number(), number()], "minItems": 2, "maxItems": 2})},
        ),
    ],
    (
        "directions",
        {"origin": "Köln", "destination": {"lat": 52.5, "lng": 13.4}, "mode": "transit", "departure": 1800000000},
    ),
)

FETCH = ToolSet(
    "one page at a time",
    [
        tool(
            "fetch",
            "",
            {
                "url": string(format="uri", minLength=1, title="Url"),
                "max_length?": integer(
                    default=5000, exclusiveMaximum=1_000_000, exclusiveMinimum=0, title="Max Length"
                ),
                "start_index?": integer(default=0, minimum=0, title="Start Index"),
                "raw?": flag(default=False, title="Raw"),
                "headers?": nullable(mapping(string()), default=None),
            },
            title="Fetch",
        )
    ],
    ("fetch", {"url": "https://example.org/a?b=c#d", "max_length": 999_999, "raw": True, "headers": None}),
)

SETS = [BROWSER, CRAWLER, SEARCH, MAPS, FETCH]
