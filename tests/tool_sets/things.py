"""Sets of things and services: homes, music, cars, weather, travel, payments."""

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
    string,
    tool,
    with_parameters,
)

_ENTITY = string(pattern=r"^[a-z_]+\.[a-z0-9_]+$")
_AREA = {"area?": string(), "floor?": string(), "entity_id?": any_of(_ENTITY, array(_ENTITY, minItems=1))}
_RGB = array(integer(minimum=0, maximum=255), minItems=3, maxItems=3)
HOME = ToolSet(
    "home automation",
    [
        tool("turn_on", "", _AREA),
        tool("turn_off", "", _AREA),
        tool(
            "set_light",
            "",
            {
                **_AREA,
                "brightness?": integer(minimum=0, maximum=100),
                "color?": any_of(enum("red", "warm_white"), _RGB),
                "temperature?": integer(minimum=2000, maximum=6500),
                "transition?": number(minimum=0, maximum=300),
            },
        ),
        tool(
            "set_climate",
            "",
            {
                "entity_id": _ENTITY,
                "temperature?": number(minimum=7, maximum=35, multipleOf=0.5),
                "hvac_mode?": enum("off", "heat", "cool", "auto"),
            },
        ),
        tool("set_cover", "", {"entity_id": _ENTITY, "position": integer(minimum=0, maximum=100)}),
        tool(
            "call_service", "", {"domain": string(), "service": string(), "data?": mapping(True), "target?": obj(_AREA)}
        ),
        tool("get_state", "", {"entity_id": _ENTITY}),
        tool("history", "", {"entity_id": _ENTITY, "hours?": number(exclusiveMinimum=0, maximum=240)}),
        tool(
            "start_timer",
            "",
            {
                "name?": string(),
                "hours?": integer(minimum=0),
                "minutes?": integer(minimum=0),
                "seconds?": integer(minimum=0),
            },
            minProperties=1,
        ),
        tool(
            "create_automation",
            "",
            {
                "alias": string(),
                "trigger": array(
                    any_of(
                        obj({"platform": const("state"), "entity_id": _ENTITY, "to?": string()}),
                        obj({"platform": const("time"), "at": string(format="time")}),
                        obj(
                            {
                                "platform": const("sun"),
                                "event": enum("sunrise", "sunset"),
                                "offset?": string(pattern=r"^-?\d\d:\d\d:\d\d$"),
                            }
                        ),
                    ),
                    minItems=1,
                ),
                "action": array(obj({"service": string(pattern=r"^\w+\.\w+$"), "data?": mapping({})}), minItems=1),
                "mode?": enum("single", "restart", "queued", "parallel"),
            },
        ),
        *(tool(f"scene_{verb}", "", {"name": string()}) for verb in ("activate", "create", "delete")),
        tool("vacuum", "", {"command": enum("start", "pause", "dock"), "rooms?": array(string())}),
    ],
    (
        "create_automation",
        {
            "alias": "Evening",
            "trigger": [{"platform": "sun", "event": "sunset", "offset": "-00:30:00"}],
            "action": [{"service": "light.turn_on", "data": {"brightness": 80}}],
        },
    ),
)

MUSIC = ToolSet(
    "music player",
    [
        tool(
            "play", "", {"uri?": string(pattern="^music:(track|album|playlist):[A-Za-z0-9]{22}$"), "device?": string()}
        ),
        *(tool(name) for name in ("pause", "next_track", "previous_track", "now_playing")),
        tool("seek", "", {"position_ms": integer(minimum=0)}),
        tool("volume", "", {"percent": integer(minimum=0, maximum=100)}),
        tool(
            "find",
            "",
            {
                "q": string(),
                "type": array(enum("track", "album", "artist", "playlist"), minItems=1),
                "limit?": integer(minimum=1, maximum=50),
            },
        ),
        tool("create_playlist", "", {"name": string(), "public?": flag(), "tracks?": array(string(), maxItems=100)}),
    ],
    ("find", {"q": "blue", "type": ["track", "album"], "limit": 1}),
)

WEATHER = ToolSet(
    "weather",
    [
        tool("current_weather", "The weather now.", {"city": string(), "unit?": enum("celsius", "fahrenheit")}),
        tool(
            "forecast",
            "",
            {
                "latitude": number(minimum=-90, maximum=90),
                "longitude": number(minimum=-180, maximum=180),
                "hourly?": array(enum("temperature_2m", "rain", "wind_speed_10m")),
                "days?": integer(minimum=1, maximum=16),
            },
        ),
        tool("alerts", "", {"state": string("Two letters.", minLength=2, maxLength=2)}),
    ],
    ("forecast", {"latitude": -33.9, "longitude": 151.2, "hourly": ["rain"], "days": 16}),
)

_IATA = string(pattern="^[A-Z]{3}$")
_GUEST = obj({"kind": enum("adult", "child"), "age?": integer(minimum=0, maximum=17)})
TRAVEL = ToolSet(
    "travel",
    [
        tool(
            "find_flights",
            "",
            {
                "legs": array(obj({"from": _IATA, "to": _IATA, "on": string(format="date")}), minItems=1, maxItems=6),
                "cabin?": enum("economy", "business", "first"),
                "guests": array(_GUEST, minItems=1, maxItems=9),
            },
        ),
        tool(
            "find_hotels",
            "",
            {
                "where": string(),
                "from": string(format="date"),
                "until": string(format="date"),
                "stars?": array(integer(minimum=1, maximum=5)),
                "price?": obj({"min?": number(minimum=0), "max?": number(minimum=0)}),
            },
        ),
        tool(
            "book",
            "",
            {
                "offer": string(),
                "travellers": array(
                    obj(
                        {
                            "name": obj({"first": string(minLength=1), "last": string(minLength=1)}),
                            "born": string(format="date"),
                            "passport?": obj(
                                {"number": string(pattern="^[A-Z0-9]{6,9}$"), "country": string(pattern="^[A-Z]{2}$")}
                            ),
                        }
                    ),
                    minItems=1,
                ),
                "email": string(format="email"),
            },
        ),
        tool("cancel", "", {"booking": string(pattern="^[A-Z0-9]{6}$")}),
    ],
    (
        "find_flights",
        {"legs": [{"from": "CGN", "to": "LIS", "on": "2026-12-24"}], "guests": [{"kind": "child", "age": 7}]},
    ),
)

_CURRENCIES = (
    "aed ars aud bgn brl cad chf clp cny cop czk dkk eur gbp hkd huf idr ils inr jpy krw mxn myr nok nzd pln ron sek "
    "sgd thb try twd uah usd vnd zar"
)
_CURRENCY = enum(*_CURRENCIES.split())
_ID = {
    kind: string(pattern=f"^{prefix}_[A-Za-z0-9]+$")
    for kind, prefix in {"customer": "cus", "price": "price", "invoice": "in", "charge": "ch"}.items()
}
PAYMENTS = ToolSet(
    "payments",
    [
        tool(
            "create_customer",
            "",
            {
                "name": string(),
                "email?": string(format="email"),
                "metadata?": mapping(string(maxLength=500), maxProperties=50),
            },
        ),
        tool(
            "create_price",
            "",
            {
                "product": string(),
                "unit_amount": integer(minimum=0, maximum=99_999_999),
                "currency": _CURRENCY,
                "recurring?": obj({"interval": enum("day", "week", "month", "year"), "count?": integer(minimum=1)}),
            },
        ),
        tool("create_link", "", {"price": _ID["price"], "quantity": integer(minimum=1)}),
        tool("create_invoice", "", {"customer": _ID["customer"], "days_until_due?": integer(minimum=0)}),
        tool("finalize_invoice", "", {"invoice": _ID["invoice"]}),
        tool(
            "refund",
            "",
            {
                "charge": _ID["charge"],
                "amount?": integer(minimum=1),
                "reason?": enum("duplicate", "fraudulent", "requested"),
            },
        ),
        tool(
            "list_charges",
            "",
            {
                "limit?": integer(minimum=1, maximum=100),
                "created?": any_of(integer(), obj({"gte?": integer(), "lt?": integer()})),
            },
        ),
        tool("balance"),
    ],
    ("create_price", {"product": "p", "unit_amount": 1999, "currency": "eur", "recurring": {"interval": "month"}}),
)

CAR = ToolSet(
    "car without parameters",
    [
        *(
            with_parameters(name, {"type": "object", "properties": {}})
            for name in ("lock_doors", "unlock_doors", "honk")
        ),
        *(with_parameters(name, {"type": "object"}) for name in ("flash_lights", "start_climate")),
        {"type": "function", "function": {"name": "stop_climate"}},
        with_parameters("open_trunk", {}),
        tool("set_charge_limit", "", {"percent": integer(minimum=50, maximum=100)}),
    ],
    ("flash_lights", {}),
)

SETS = [HOME, MUSIC, WEATHER, TRAVEL, PAYMENTS, CAR]
