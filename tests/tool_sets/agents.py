"""Sets of coding and planning agents: editors, patches, shells, todo lists, memories, agents of agents."""

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
    with_parameters,
)

_TODO = obj(
    {
        "id": string(),
        "content": string("What is to be done.", minLength=1),
        "activeForm": string("The same while it is being done.", minLength=1),
        "status": enum("pending", "in_progress", "completed"),
        "priority?": enum("high", "medium", "low"),
    },
    additionalProperties=False,
)
_LONG = "Rules of this tool. " + " ".join(
    f"Rule {i}: keep what step {i} asks for, and say why if not." for i in range(400)
)

EDITOR = ToolSet(
    "editor of an agent",
    [
        tool(
            "Bash",
            _LONG,
            {
                "command": string(),
                "timeout?": number("Milliseconds.", maximum=600_000),
                "description?": string(),
                "run_in_background?": flag(),
            },
            additionalProperties=False,
            **{"$schema": "http://json-schema.org/draft-07/schema#"},
        ),
        tool(
            "Read", _LONG, {"file_path": string(), "offset?": integer(minimum=0), "limit?": integer(exclusiveMinimum=0)}
        ),
        tool("Write", "", {"file_path": string(), "content": string()}, additionalProperties=False),
        tool(
            "Edit",
            _LONG,
            {
                "file_path": string(),
                "old_string": string(),
                "new_string": string("Differs from old_string."),
                "replace_all?": flag(default=False),
            },
            additionalProperties=False,
        ),
        tool("Glob", "", {"pattern": string(), "path?": string()}),
        tool(
            "Grep",
            "",
            {
                "pattern": string(),
                "path?": string(),
                "glob?": string(),
                "output_mode?": enum("content", "files_with_matches", "count"),
                "-B?": number(),
                "-A?": number(),
                "-n?": flag(),
                "-i?": flag(),
                "head_limit?": number(),
                "multiline?": flag(),
            },
            additionalProperties=False,
        ),
        tool("TodoWrite", _LONG, {"todos": array(_TODO)}, additionalProperties=False),
        tool("WebFetch", "", {"url": string(format="uri"), "prompt": string()}, additionalProperties=False),
        tool(
            "NotebookEdit",
            "",
            {
                "notebook_path": string(),
                "cell_id?": string(),
                "new_source": string(),
                "cell_type?": enum("code", "markdown"),
                "edit_mode?": enum("replace", "insert", "delete"),
            },
        ),
        tool("ExitPlanMode", "", {"plan": string()}),
    ],
    ("Grep", {"pattern": r"def \w+\(", "glob": "*.py", "output_mode": "content", "-B": 2, "-n": True}),
)

PATCH = ToolSet(
    "patch and shell",
    [
        tool("apply_patch", _LONG, {"input": string("The whole patch.")}, additionalProperties=False),
        tool(
            "shell",
            "",
            {"command": array(string()), "workdir?": string(), "timeout_ms?": number(), "with_escalation?": flag()},
            additionalProperties=False,
        ),
        tool(
            "update_plan",
            "",
            {
                "explanation?": string(),
                "plan": array(
                    obj(
                        {"step": string(), "status": enum("pending", "in_progress", "completed")},
                        additionalProperties=False,
                    )
                ),
            },
            additionalProperties=False,
        ),
        tool("view_image", "", {"path": string()}),
    ],
    ("apply_patch", {"input": "*** Begin Patch\n*** Update File: a.py\n@@\n-x = 'a'\n+x = \"b\"\n*** End Patch\n"}),
)

_INSERT = {"command": const("insert"), "path": string(), "insert_line": integer(minimum=0), "insert_text": string()}
COMMANDS = ToolSet(
    "editor with commands at the root",
    [
        with_parameters(
            "str_editor",
            one_of(
                obj(
                    {
                        "command": const("view"),
                        "path": string(),
                        "view_range?": array(integer(), minItems=2, maxItems=2),
                    }
                ),
                obj({"command": const("create"), "path": string(), "file_text": string()}),
                obj({"command": const("replace"), "path": string(), "old_str": string(), "new_str?": string()}),
                obj(_INSERT),
                obj({"command": const("undo"), "path": string()}),
                type="object",
            ),
        ),
        tool("think", "Writes a thought down; nothing happens.", {"thought": string()}),
    ],
    ("str_editor", {"command": "view", "path": "/a", "view_range": [1, -1]}),
)

_STEP = obj({"title": string(), "steps?": array(ref("Step")), "done?": flag()}, additionalProperties=False)
SUBAGENTS = ToolSet(
    "agents of agents",
    [
        tool(
            "delegate", "", {"agent": enum("explorer", "planner", "reviewer"), "prompt": string(), "budget?": integer()}
        ),
        tool("plan", "", {"goal": string(), "steps": array(ref("Step"), minItems=1)}, **{"$defs": {"Step": _STEP}}),
        tool("finish", "", {"answer": string(), "confidence": number(minimum=0, maximum=1)}),
        tool(
            "ask",
            "",
            {
                "questions": array(
                    obj(
                        {
                            "question": string(),
                            "header": string(maxLength=12),
                            "options": array(obj({"label": string(), "description": string()}), minItems=2, maxItems=4),
                            "multiSelect": flag(default=False),
                        }
                    ),
                    minItems=1,
                    maxItems=4,
                )
            },
        ),
    ],
    (
        "plan",
        {"goal": "g", "steps": [{"title": "a", "steps": [{"title": "b", "steps": [], "done": True}]}, {"title": "c"}]},
    ),
)

_ENTITY = obj({"name": string(), "entityType": string(), "observations": array(string())})
_RELATION = obj({"from": string(), "to": string(), "relationType": string()})
MEMORY = ToolSet(
    "memory as a graph",
    [
        tool("create_entities", "", {"entities": array(_ENTITY)}),
        tool("create_relations", "", {"relations": array(_RELATION)}),
        tool(
            "add_observations", "", {"observations": array(obj({"entityName": string(), "contents": array(string())}))}
        ),
        tool("delete_entities", "", {"entityNames": array(string())}),
        tool("delete_relations", "", {"relations": array(_RELATION)}),
        tool("read_graph"),
        tool("search_nodes", "", {"query": string()}),
        tool("open_nodes", "", {"names": array(string())}),
    ],
    ("create_relations", {"relations": [{"from": "Ada", "to": "engine", "relationType": "described"}]}),
)

THINKING = ToolSet(
    "thinking in steps",
    [
        tool(
            "think_in_steps",
            _LONG,
            {
                "thought": string(),
                "nextThoughtNeeded": flag(),
                "thoughtNumber": integer(minimum=1),
                "totalThoughts": integer(minimum=1),
                "isRevision?": flag(),
                "revisesThought?": integer(minimum=1),
                "branchFromThought?": integer(minimum=1),
                "branchId?": string(),
            },
        )
    ],
    ("think_in_steps", {"thought": "So…", "nextThoughtNeeded": False, "thoughtNumber": 3, "totalThoughts": 3}),
)

NAMES = ToolSet(
    "names with dots and slashes",
    [
        tool("files/v2.read-text", "", {"path": string()}),
        tool("mcp__server-one__tools.list", "", {"cursor?": string()}),
        tool(
            "a.b.c/d.e.f-" + "long_" * 23 + "x",
            "",
            {"camelCase": string(), "snake_case": string(), "kebab-case": string()},
        ),
        tool(
            "x",
            "",
            {"$top?": integer(), "@type?": string(), "with space?": string(), "ключ?": string(), 'quo"te?': flag()},
        ),
        tool("camelCaseName", "", {"aB?": string(), "a_b?": string(), "AB?": string()}),
        tool("_leading.underscore", "", {"": string()}),
    ],
    ("x", {"$top": 5, "@type": "t", "with space": "", "ключ": "значение", 'quo"te': True}),
)

CODE = ToolSet(
    "code in a string",
    [
        tool("run_python", "", {"code": string(), "packages?": array(string(pattern="^[A-Za-z0-9._-]+(==[0-9.]+)?$"))}),
        tool(
            "run_sql",
            "",
            {"statement": string(), "bindings?": array(any_of(string(), number(), flag(), {"type": "null"}))},
        ),
        tool(
            "call_http",
            "",
            {
                "method": enum("GET", "POST", "PUT", "PATCH", "DELETE"),
                "url": string(format="uri"),
                "headers?": mapping(string()),
                "body?": {},
            },
        ),
    ],
    ("run_python", {"code": 'print("a\\n")\nfor i in range(3):\n\tprint(i)', "packages": ["numpy==2.0", "rich"]}),
)

SETS = [EDITOR, PATCH, COMMANDS, SUBAGENTS, MEMORY, THINKING, NAMES, CODE]
