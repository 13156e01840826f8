"""Sets of developers: files, version control, issues, builds, containers, clusters."""

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
    string,
    tool,
)

PATH = string("Where, from the root of the allowed folders.")
REPOSITORY = {"owner": string("Account that owns it."), "repo": string("Its short name.")}
PAGE = {"page?": number("From 1 on.", minimum=1), "perPage?": number("How many.", minimum=1, maximum=100)}
EDIT = obj({"oldText": string("Must be there once."), "newText": string()}, additionalProperties=False)

FILE_SYSTEM = ToolSet(
    "file system",
    [
        tool("read_text_file", "The text of one file.", {"path": PATH, "head?": number(), "tail?": number()}),
        tool("read_media_file", "Bytes in base64.", {"path": PATH}),
        tool("read_many_files", "Several at once.", {"paths": array(PATH, minItems=1)}),
        tool("write_file", "Replaces all of it.", {"path": PATH, "content": string()}),
        tool("edit_file", "Line edits.", {"path": PATH, "edits": array(EDIT), "dryRun?": flag(default=False)}),
        tool("make_folder", "Parents too.", {"path": PATH}),
        tool("list_folder", "Names in a folder.", {"path": PATH}),
        tool("list_folder_with_sizes", "", {"path": PATH, "sortBy?": enum("name", "size", default="name")}),
        tool("folder_tree", "As JSON.", {"path": PATH, "excludePatterns?": array(string(), default=[])}),
        tool("move_file", "", {"source": PATH, "destination": PATH}),
        tool("find_files", "By glob.", {"path": PATH, "pattern": string(), "excludePatterns?": array(string())}),
        tool("file_info", "", {"path": PATH}),
        tool("allowed_folders", "What may be touched."),
    ],
    ("edit_file", {"path": "src/a.py", "edits": [{"oldText": "x = 1\n", "newText": "x = 2\n"}], "dryRun": True}),
)

GIT = ToolSet(
    "git",
    [
        tool("git_status", "", {"repo_path": string()}),
        tool("git_diff_unstaged", "", {"repo_path": string(), "context_lines?": integer(default=3)}),
        tool("git_diff_staged", "", {"repo_path": string(), "context_lines?": integer(default=3)}),
        tool("git_diff", "", {"repo_path": string(), "target": string(), "context_lines?": integer(default=3)}),
        tool("git_commit", "", {"repo_path": string(), "message": string()}),
        tool("git_add", "", {"repo_path": string(), "files": array(string())}),
        tool("git_reset", "", {"repo_path": string()}),
        tool(
            "git_log",
            "",
            {
                "repo_path": string(title="Repo Path"),
                "max_count?": integer(default=10, title="Max Count"),
                "start_timestamp?": nullable(string(), default=None, title="Start"),
                "end_timestamp?": nullable(string(), default=None, title="End"),
            },
        ),
        tool("git_create_branch", "", {"repo_path": string(), "branch_name": string(), "base?": nullable(string())}),
        tool("git_checkout", "", {"repo_path": string(), "branch_name": string()}),
        tool("git_show", "", {"repo_path": string(), "revision": string()}),
        tool("git_branch", "", {"repo_path": string(), "branch_type": enum("local", "remote", "all")}),
    ],
    ("git_log", {"repo_path": "/srv/app", "max_count": 3, "start_timestamp": None, "end_timestamp": "2 days ago"}),
)

_ISSUES = [
    tool("get_issue", "", {**REPOSITORY, "issue_number": number()}),
    tool("add_issue_comment", "", {**REPOSITORY, "issue_number": number(), "body": string()}),
    tool(
        "search_issues",
        "Issues of all repositories.",
        {
            "query": string(),
            "sort?": enum("comments", "reactions", "reactions-+1", "created", "updated"),
            "order?": enum("asc", "desc"),
            **PAGE,
        },
    ),
    tool(
        "list_issues",
        "",
        {
            **REPOSITORY,
            "state?": enum("OPEN", "CLOSED"),
            "labels?": array(string()),
            "since?": string("ISO 8601.", format="date-time"),
            **PAGE,
        },
    ),
    tool(
        "write_issue",
        "",
        {
            "method": enum("create", "update"),
            **REPOSITORY,
            "issue_number?": number(),
            "title?": string(),
            "assignees?": array(string()),
            "milestone?": number(),
            "duplicate_of?": number(),
        },
    ),
]
_PULLS = [
    tool(f"{verb}_pull_request{suffix}", "", {**REPOSITORY, "pullNumber": number(), **more})
    for verb, suffix, more in (
        ("get", "", {}),
        ("get", "_files", PAGE),
        ("get", "_diff", {}),
        ("get", "_status", {}),
        ("get", "_reviews", {}),
        ("update", "_branch", {"expectedHeadSha?": string()}),
        ("merge", "", {"merge_method?": enum("merge", "squash", "rebase"), "commit_title?": string()}),
        ("update", "", {"title?": string(), "body?": string(), "draft?": flag(), "reviewers?": array(string())}),
        ("request", "_review", {}),
    )
]
_FILES = array(obj({"path": string(), "content": string()}, additionalProperties=False))
_CODE = [
    tool("search_code", "", {"query": string(), "order?": enum("asc", "desc"), **PAGE}),
    tool("list_commits", "", {**REPOSITORY, "sha?": string(), "author?": string(), **PAGE}),
    tool("get_file_contents", "", {**REPOSITORY, "path?": string(default="/"), "ref?": string()}),
    tool("push_files", "", {**REPOSITORY, "branch": string(), "files": _FILES, "message": string()}),
    tool("create_branch", "", {**REPOSITORY, "branch": string(), "from_branch?": string()}),
    tool("fork_repository", "", {**REPOSITORY, "organization?": string()}),
    tool("create_repository", "", {"name": string(), "private?": flag(), "autoInit?": flag()}),
    *(
        tool(f"list_{what}", "", {**REPOSITORY, **PAGE})
        for what in ("tags", "branches", "releases", "labels", "runs", "alerts", "forks", "stars", "teams", "hooks")
    ),
]

FORGE = ToolSet(
    "forge of issues and pull requests",
    [*_ISSUES, *_PULLS, *_CODE],
    ("list_issues", {"owner": "o", "repo": "r", "state": "OPEN", "since": "2026-01-31T10:00:00Z", "perPage": 50}),
)

REVIEWS = ToolSet(
    "code review with lines",
    [
        tool(
            "create_review",
            "A review with comments on lines.",
            {
                **REPOSITORY,
                "number": integer(minimum=1),
                "event": enum("APPROVE", "REQUEST_CHANGES", "COMMENT"),
                "body?": string(maxLength=65536),
                "comments?": array(
                    any_of(
                        obj({"path": string(), "line": integer(minimum=1), "body": string()}),
                        obj({"path": string(), "position": integer(), "body": string()}),
                        obj({"path": string(), "start": integer(), "line": integer(), "body": string()}),
                    ),
                    maxItems=100,
                ),
            },
        )
    ],
    (
        "create_review",
        {
            "owner": "o",
            "repo": "r",
            "number": 7,
            "event": "COMMENT",
            "comments": [{"path": "a", "line": 1, "body": "Why?"}, {"path": "a", "position": 2, "body": ""}],
        },
    ),
)

BUILDS = ToolSet(
    "continuous integration",
    [
        tool(
            "start_pipeline",
            "",
            {"branch": string(), "parameters?": mapping({"type": ["string", "number", "boolean"]})},
        ),
        tool("get_log", "", {"job": string(pattern="^[a-z0-9-]+/[0-9]+$"), "tail?": integer(minimum=1, maximum=5000)}),
        tool("cancel", "", {"job": string(), "reason?": enum("superseded", "wrong", "slow")}),
        tool("list_artifacts", "", {"job": string(), "glob?": string(default="**")}),
        tool("find_flaky_tests", "", {"suite?": string(), "days?": integer(minimum=1, maximum=90, default=14)}),
        tool("compare_runs", "", {"runs": array(integer(), minItems=2, maxItems=2)}),
    ],
    ("start_pipeline", {"branch": "main", "parameters": {"fast": True, "shards": 4, "os": "linux"}}),
)

_PORT = integer(minimum=1, maximum=65535)
CONTAINERS = ToolSet(
    "containers",
    [
        tool(
            "run_container",
            "",
            {
                "image": string(),
                "name?": string(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$"),
                "command?": any_of(string(), array(string())),
                "environment?": mapping(string()),
                "ports?": mapping(any_of(_PORT, array(_PORT), {"type": "null"})),
                "volumes?": any_of(mapping(mapping(string())), array(string())),
                "memory?": string(pattern=r"^\d+[bkmg]?$"),
                "detach?": flag(default=True),
            },
        ),
        *(tool(f"{verb}_container", "", {"container_id": string()}) for verb in ("start", "stop", "remove", "inspect")),
        tool("container_logs", "", {"container_id": string(), "tail?": any_of(integer(minimum=0), const("all"))}),
        tool("build_image", "", {"path": string(), "tag": string(), "buildArgs?": mapping(string())}),
        tool("prune", "", {"what": array(enum("images", "volumes", "networks"), minItems=1, maxItems=3)}),
    ],
    (
        "run_container",
        {
            "image": "redis:7",
            "command": ["redis-server", "--save", ""],
            "ports": {"6379/tcp": [6379, 6380]},
            "memory": "64m",
        },
    ),
)

_OBJECT = {"kind": enum("pod", "deployment", "service", "job", "node", "secret", "ingress"), "name": string()}
_NAMESPACE = {"namespace?": string(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", maxLength=63, default="default")}
CLUSTER = ToolSet(
    "cluster",
    [
        tool("get", "", {**_OBJECT, **_NAMESPACE, "output?": enum("json", "yaml", "wide")}),
        tool("list", "", {"kind": string(), **_NAMESPACE, "labelSelector?": string(), "limit?": integer(minimum=1)}),
        tool(
            "apply",
            "",
            {"manifest": any_of(string("YAML."), mapping(True)), "dryRun?": enum("none", "client", "server")},
        ),
        tool("scale", "", {**_OBJECT, **_NAMESPACE, "replicas": integer(minimum=0, maximum=1000)}),
        tool("set_image", "", {**_OBJECT, **_NAMESPACE, "images": mapping(string(minLength=1))}),
        tool(
            "patch",
            "",
            {
                **_OBJECT,
                "operations": array(
                    one_of(
                        obj({"op": const("add"), "path": string(), "value": {}}),
                        obj({"op": const("replace"), "path": string(), "value": {}}),
                        obj({"op": const("remove"), "path": string()}),
                    )
                ),
            },
        ),
        tool(
            "logs",
            "",
            {"pod": string(), **_NAMESPACE, "since?": string(pattern="^[0-9]+(s|m|h)$"), "previous?": flag()},
        ),
        tool("exec", "", {"pod": string(), **_NAMESPACE, "command": array(string(), minItems=1)}),
        tool("port_forward", "", {"pod": string(), **_NAMESPACE, "local": _PORT, "remote": _PORT}),
        *(tool(f"rollout_{verb}", "", {**_OBJECT, **_NAMESPACE}) for verb in ("status", "undo", "restart", "pause")),
        *(tool(f"node_{verb}", "", {"node": string(), "force?": flag()}) for verb in ("cordon", "drain", "uncordon")),
        tool("helm_install", "", {"release": string(), "chart": string(), **_NAMESPACE, "values?": mapping({})}),
        tool("events", "", {**_NAMESPACE, "fieldSelector?": string()}),
    ],
    (
        "patch",
        {
            "kind": "service",
            "name": "web",
            "operations": [{"op": "remove", "path": "/a"}, {"op": "add", "path": "/b", "value": [1, {"c": None}]}],
        },
    ),
)

SETS = [FILE_SYSTEM, GIT, FORGE, REVIEWS, BUILDS, CONTAINERS, CLUSTER]
