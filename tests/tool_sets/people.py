"""Sets of people's work: chat, mail, calendars, customers, tasks, meetings."""

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
)

_CHANNEL = string("Its id.", pattern="^[CDG][A-Z0-9]{8,}$")
_TS = string("When it was sent.", pattern=r"^\d{10}\.\d{6}$")
_CURSOR = {"cursor?": string(default=""), "limit?": integer(minimum=1, maximum=999, default=100)}
_TEXT = obj({"type": enum("plain_text", "mrkdwn"), "text": string(maxLength=3000), "emoji?": flag()})
_BLOCK = one_of(
    obj({"type": const("section"), "text": _TEXT, "fields?": array(_TEXT, maxItems=10)}),
    obj({"type": const("divider")}),
    obj({"type": const("image"), "image_url": string(format="uri"), "alt_text": string()}),
    obj(
        {
            "type": const("actions"),
            "elements": array(obj({"action_id": string(), "value": string(), "text": _TEXT}), maxItems=25),
        }
    ),
)

CHAT = ToolSet(
    "team chat",
    [
        tool("list_channels", "", {"types?": array(enum("public", "private", "im", "mpim")), **_CURSOR}),
        tool(
            "post_message",
            "",
            {"channel": _CHANNEL, "text": string(), "blocks?": array(_BLOCK, maxItems=50), "thread_ts?": _TS},
        ),
        tool("update_message", "", {"channel": _CHANNEL, "ts": _TS, "text": string()}),
        tool("add_reaction", "", {"channel": _CHANNEL, "ts": _TS, "name": string(pattern="^[a-z0-9_+-]+$")}),
        tool("channel_history", "", {"channel": _CHANNEL, **_CURSOR}),
        tool("thread_replies", "", {"channel": _CHANNEL, "ts": _TS, **_CURSOR}),
        tool("search_messages", "", {"query": string(), "sort?": enum("score", "timestamp"), "in?": array(_CHANNEL)}),
        tool("list_users", "", _CURSOR),
        tool("user_profile", "", {"user": string(pattern="^[UW][A-Z0-9]{8,}$")}),
        tool("set_topic", "", {"channel": _CHANNEL, "topic": string(maxLength=250)}),
        tool("schedule_message", "", {"channel": _CHANNEL, "text": string(), "post_at": integer(minimum=0)}),
        tool("upload_file", "", {"channels": array(_CHANNEL, minItems=1), "filename": string(), "content": string()}),
    ],
    (
        "post_message",
        {
            "channel": "C0123456789",
            "text": "hi",
            "blocks": [{"type": "divider"}, {"type": "section", "text": {"type": "mrkdwn", "text": "*b*"}}],
            "thread_ts": "1700000000.000100",
        },
    ),
)

_ADDRESS = string(format="email")
_PERSON = obj({"name?": string(), "email": _ADDRESS})
MAIL = ToolSet(
    "mail",
    [
        tool(
            "send_mail",
            "",
            {
                "to": array(_ADDRESS, minItems=1),
                "cc?": array(_ADDRESS),
                "subject": string(maxLength=998),
                "body": string(),
                "htmlBody?": string(),
                "mimeType?": enum("text/plain", "text/html", "multipart/alternative"),
                "attachments?": array(obj({"name": string(), "data": string(contentEncoding="base64")})),
            },
        ),
        tool("draft_mail", "", {"to": array(_PERSON), "subject": string(), "body": string(), "inReplyTo?": string()}),
        tool("read_mail", "", {"messageId": string()}),
        tool(
            "search_mail", "", {"query": string(), "maxResults?": integer(minimum=1, maximum=500), "label?": string()}
        ),
        tool(
            "modify_mail", "", {"messageId": string(), "addLabels?": array(string()), "removeLabels?": array(string())}
        ),
        tool("batch_modify", "", {"messageIds": array(string(), minItems=1), "batchSize?": number(default=50)}),
        tool(
            "create_filter",
            "",
            {
                "criteria": obj(
                    {
                        "from?": string(),
                        "to?": string(),
                        "subject?": string(),
                        "hasAttachment?": flag(),
                        "size?": number(),
                        "sizeComparison?": enum("unspecified", "smaller", "larger"),
                    }
                ),
                "action": obj({"addLabels?": array(string()), "forward?": _ADDRESS}),
            },
        ),
        tool("set_vacation", "", {"from": string(format="date"), "until": string(format="date"), "text": string()}),
    ],
    ("send_mail", {"to": ["a.b@example.org"], "subject": "Hi", "body": "Line\nline", "mimeType": "text/plain"}),
)

_WHEN = any_of(
    obj({"dateTime": string(format="date-time"), "timeZone?": string()}), obj({"date": string(format="date")})
)
_REMINDER = obj({"method": enum("email", "popup"), "minutes": integer(minimum=0, maximum=40320)})
CALENDAR = ToolSet(
    "calendar",
    [
        tool("list_calendars"),
        tool(
            "list_events",
            "",
            {"calendarId": any_of(string(), array(string(), maxItems=50)), "timeMin?": string(format="date-time")},
        ),
        tool(
            "create_event",
            "",
            {
                "calendarId": string(default="primary"),
                "summary": string(),
                "start": _WHEN,
                "end": _WHEN,
                "attendees?": array(
                    obj({"email": _ADDRESS, "optional?": flag(), "responseStatus?": enum("accepted", "declined")})
                ),
                "reminders?": obj({"useDefault": flag(), "overrides?": array(_REMINDER, maxItems=5)}),
                "recurrence?": array(
                    string(pattern="^RRULE:FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;[A-Z]+=[A-Z0-9,+-]+)*$")
                ),
                "colorId?": string(pattern="^([1-9]|1[01])$"),
            },
        ),
        tool("delete_event", "", {"calendarId": string(), "eventId": string(pattern="^[a-v0-9]{5,1024}$")}),
        tool("free_busy", "", {"timeMin": string(format="date-time"), "timeMax": string(format="date-time")}),
        tool(
            "find_slot",
            "",
            {
                "minutes": integer(multipleOf=15, minimum=15, maximum=480),
                "between?": array(string(format="time"), minItems=2, maxItems=2),
            },
        ),
    ],
    (
        "create_event",
        {
            "calendarId": "primary",
            "summary": "Review",
            "start": {"dateTime": "2026-11-26T10:00:00+01:00", "timeZone": "Europe/Berlin"},
            "end": {"date": "2026-11-27"},
            "recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=MO,WE"],
        },
    ),
)

_VALUE = any_of(string(), number(), flag(), {"type": "null"}, array(string()))
_FILTER = obj(
    {"propertyName": string(), "operator": enum("EQ", "NEQ", "LT", "GT", "IN", "HAS_PROPERTY"), "value?": _VALUE}
)
_KINDS = ("contact", "company", "deal", "ticket", "quote", "product")
CUSTOMERS = ToolSet(
    "customers",
    [
        *(
            each
            for kind in _KINDS
            for each in (
                tool(
                    f"create_{kind}",
                    "",
                    {"properties": mapping(_VALUE), "associations?": array(ref("Association"))},
                    **{
                        "$defs": {
                            "Association": obj(
                                {
                                    "to": obj({"id": string()}),
                                    "types": array(obj({"category": enum("STANDARD", "CUSTOM"), "typeId": integer()})),
                                }
                            )
                        }
                    },
                ),
                tool(f"update_{kind}", "", {"id": string(), "properties": mapping(_VALUE)}),
                tool(
                    f"search_{kind}s",
                    "",
                    {
                        "filterGroups": array(obj({"filters": array(_FILTER, maxItems=6)}), maxItems=5),
                        "properties?": array(string()),
                        "limit?": integer(minimum=1, maximum=200),
                        "after?": string(),
                    },
                ),
                tool(f"archive_{kind}", "", {"id": string()}),
            )
        ),
        tool(
            "log_engagement",
            "",
            {"type": enum("CALL", "EMAIL", "NOTE"), "contactIds": array(string()), "body": string()},
        ),
    ],
    (
        "search_deals",
        {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "GT", "value": 1e4}]}], "limit": 10},
    ),
)

_FIELD = {
    "summary?": string(maxLength=255),
    "description?": nullable(string()),
    "labels?": array(string(pattern=r"^\S+$")),
}
TRACKER = ToolSet(
    "tasks and sprints",
    [
        tool(
            "create_task",
            "",
            {"project": string(pattern="^[A-Z][A-Z0-9_]+$"), "type": enum("Bug", "Task", "Epic"), **_FIELD},
        ),
        tool(
            "update_task",
            "",
            {"key": string(pattern="^[A-Z][A-Z0-9_]+-[1-9][0-9]*$"), **_FIELD, "customFields?": mapping({})},
        ),
        tool(
            "transition",
            "",
            {"key": string(), "to": enum("To Do", "In Progress", "In Review", "Done"), "comment?": string()},
        ),
        tool(
            "search",
            "",
            {"jql": string(), "fields?": array(string(), default=["summary"]), "startAt?": integer(minimum=0)},
        ),
        tool(
            "log_work", "", {"key": string(), "timeSpent": string(pattern="^([0-9]+w )?([0-9]+d )?([0-9]+h )?[0-9]+m$")}
        ),
        tool("link", "", {"from": string(), "to": string(), "type": enum("blocks", "relates to", "duplicates")}),
        tool("move_to_sprint", "", {"sprint": integer(), "keys": array(string(), minItems=1, maxItems=50)}),
    ],
    (
        "update_task",
        {"key": "OPS-17", "summary": "S", "description": None, "labels": ["a"], "customFields": {"x": [1]}},
    ),
)

MEETINGS = ToolSet(
    "meeting notes",
    [
        tool(
            "get_transcript",
            "",
            {"meetingId": string(format="uuid"), "speakers?": array(string()), "from?": string(format="time")},
        ),
        tool(
            "summarize",
            "",
            {"meetingId": string(format="uuid"), "style": enum("short", "long"), "maxWords?": integer(minimum=10)},
        ),
        tool(
            "assign",
            "",
            {"action": string(), "to": _PERSON, "due?": string(format="date"), "effort?": string(format="duration")},
        ),
    ],
    ("assign", {"action": "Send it", "to": {"email": "a@example.org"}, "due": "2026-12-01", "effort": "PT2H30M"}),
)

SETS = [CHAT, MAIL, CALENDAR, CUSTOMERS, TRACKER, MEETINGS]
