"""Sets of operators: a cloud's console of 120 tools, monitoring, names, incidents."""

from __future__ import annotations

from tool_sets.shapes import ToolSet, array, const, enum, flag, integer, mapping, number, obj, one_of, string, tool

_REGIONS = enum(
    *(
        f"{area}-{side}{i}"
        for area in ("eu", "us", "ap", "sa")
        for side in ("north", "south", "east", "west")
        for i in (1, 2)
    )
)
_TAGS = array(obj({"Key": string(minLength=1, maxLength=128), "Value": string(maxLength=256)}), maxItems=50)
_KINDS = {
    "instance": {
        "Type": string(pattern="^[a-z][0-9][a-z]?[.](small|medium|large|[0-9]*xlarge)$"),
        "Image": string(),
        "Count?": integer(minimum=1, maximum=100),
    },
    "disk": {"SizeGiB": integer(minimum=1, maximum=65_536), "Kind?": enum("ssd", "hdd"), "Encrypted?": flag()},
    "network": {"Cidr": string(pattern=r"^(\d{1,3}\.){3}\d{1,3}/(1[6-9]|2[0-8])$"), "Dns?": flag()},
    "subnet": {"Network": string(), "Cidr": string(), "Public?": flag()},
    "firewall": {
        "Rules": array(
            obj(
                {
                    "Protocol": enum("tcp", "udp", "icmp"),
                    "From": integer(minimum=0, maximum=65535),
                    "To": integer(minimum=0, maximum=65535),
                }
            )
        )
    },
    "balancer": {
        "Scheme": enum("internal", "public"),
        "Listeners": array(obj({"Port": integer(), "Target": string()}), minItems=1),
    },
    "database": {
        "Engine": enum("postgres", "mysql"),
        "Version": string(),
        "StorageGiB": integer(minimum=20),
        "MultiZone?": flag(),
    },
    "function": {
        "Runtime": enum("python3.13", "node24", "go1"),
        "Handler": string(),
        "MemoryMiB?": integer(minimum=128, maximum=10240, multipleOf=64),
    },
    "queue": {"Fifo?": flag(), "RetentionSeconds?": integer(minimum=60, maximum=1_209_600)},
    "topic": {"Subscribers?": array(string(format="uri"))},
    "role": {
        "Policy": obj(
            {
                "Version": const("2026-01-01"),
                "Statement": array(
                    obj(
                        {
                            "Effect": enum("Allow", "Deny"),
                            "Action": array(string(pattern=r"^[a-z]+:[A-Za-z*]+$")),
                            "Resource": array(string()),
                        }
                    )
                ),
            }
        )
    },
    "secret": {"Value": string(minLength=1), "RotateDays?": integer(minimum=1, maximum=365)},
    "key": {"Usage": enum("ENCRYPT", "SIGN"), "Spec?": enum("RSA_2048", "RSA_4096", "ECC_P256")},
    "certificate": {
        "Domain": string(format="hostname"),
        "Alternatives?": array(string(format="hostname"), maxItems=100),
    },
    "zone": {"Name": string(format="hostname"), "Private?": flag()},
    "record": {
        "Zone": string(),
        "Type": enum("A", "AAAA", "CNAME", "MX", "TXT"),
        "Values": array(string(), minItems=1),
        "Ttl?": integer(minimum=0),
    },
    "cluster": {"Version": string(pattern=r"^1\.\d\d$"), "Nodes": integer(minimum=1, maximum=450)},
    "registry": {"Immutable?": flag(), "Scan?": flag()},
    "alarm": {
        "Metric": string(),
        "Threshold": number(),
        "Periods?": integer(minimum=1),
        "Compare": enum("Greater", "Less"),
    },
    "budget": {
        "Amount": number(exclusiveMinimum=0),
        "Currency": enum("EUR", "USD"),
        "Alerts?": array(integer(minimum=1, maximum=100)),
    },
}
CLOUD = ToolSet(
    "cloud console of 120 tools",
    [
        each
        for kind, properties in _KINDS.items()
        for each in (
            tool(
                f"{kind}.create",
                f"Makes a {kind}.",
                {"Region": _REGIONS, "Name": string(minLength=1, maxLength=255), **properties, "Tags?": _TAGS},
            ),
            tool(f"{kind}.get", f"One {kind}.", {"Region": _REGIONS, "Id": string()}),
            tool(
                f"{kind}.list",
                f"Each {kind}.",
                {
                    "Region": _REGIONS,
                    "Filters?": array(obj({"Name": string(), "Values": array(string())})),
                    "Next?": string(),
                },
            ),
            tool(
                f"{kind}.update",
                f"Changes a {kind}.",
                {
                    "Region": _REGIONS,
                    "Id": string(),
                    **{f"{name.removesuffix('?')}?": each for name, each in properties.items()},
                },
            ),
            tool(f"{kind}.delete", f"Removes a {kind}.", {"Region": _REGIONS, "Id": string(), "DryRun?": flag()}),
            tool(f"{kind}.tag", f"Tags a {kind}.", {"Region": _REGIONS, "Id": string(), "Tags": _TAGS}),
        )
    ],
    ("firewall.create", {"Region": "eu-west1", "Name": "f", "Rules": [{"Protocol": "tcp", "From": 443, "To": 443}]}),
)

_WINDOW = {"from?": string(default="now-1h"), "to?": string(default="now")}
MONITORING = ToolSet(
    "dashboards and alerts",
    [
        tool(
            "query_metrics",
            "",
            {
                "datasourceUid": string(),
                "expr": string(),
                **_WINDOW,
                "stepSeconds?": integer(),
                "queryType?": enum("range", "instant"),
            },
        ),
        tool(
            "query_logs",
            "",
            {
                "datasourceUid": string(),
                "logql": string(),
                "limit?": integer(maximum=100),
                "direction?": enum("forward", "backward"),
            },
        ),
        tool("search_dashboards", "", {"query?": string(), "tags?": array(string())}),
        tool("update_dashboard", "", {"dashboard": mapping(True), "folderUid?": string(), "overwrite?": flag()}),
        tool(
            "patch_dashboard",
            "",
            {
                "uid": string(),
                "operations": array(
                    obj(
                        {
                            "op": enum("add", "replace", "remove"),
                            "path": string(pattern=r"^\$(\.[A-Za-z_]+|\[[0-9]+\]|\['[^']*'\])*$"),
                            "value?": {},
                        }
                    ),
                    minItems=1,
                ),
            },
        ),
        tool(
            "list_alerts",
            "",
            {
                "state?": enum("firing", "pending", "normal"),
                "labels?": array(
                    obj(
                        {
                            "filters": array(
                                obj({"name": string(), "value": string(), "type": enum("=", "!=", "=~", "!~")})
                            )
                        }
                    )
                ),
            },
        ),
        tool(
            "silence",
            "",
            {
                "matchers": array(string(pattern='^[a-zA-Z_]+(=|!=|=~|!~)".*"$'), minItems=1),
                "hours": number(exclusiveMinimum=0),
            },
        ),
    ],
    (
        "patch_dashboard",
        {"uid": "u", "operations": [{"op": "replace", "path": "$.panels[0].title", "value": {"a": [1]}}]},
    ),
)

INCIDENTS = ToolSet(
    "incidents",
    [
        tool(
            "open_incident",
            "",
            {"title": string(), "severity": integer(minimum=1, maximum=5), "services": array(string(), minItems=1)},
        ),
        tool(
            "add_event",
            "",
            {
                "incident": string(pattern="^INC-[0-9]+$"),
                "event": one_of(
                    obj({"kind": const("note"), "text": string()}),
                    obj({"kind": const("status"), "status": enum("investigating", "mitigated", "resolved")}),
                    obj({"kind": const("page"), "who": array(string(), minItems=1)}),
                ),
            },
        ),
        tool("on_call", "", {"schedule": string(), "at?": string(format="date-time")}),
    ],
    ("add_event", {"incident": "INC-12", "event": {"kind": "status", "status": "mitigated"}}),
)

NETWORKS = ToolSet(
    "network equipment",
    [
        tool("ping", "", {"host": string(format="ipv4"), "count?": integer(minimum=1, maximum=10)}),
        tool("ping6", "", {"host": string(format="ipv6")}),
        tool(
            "set_route",
            "",
            {
                "prefix": string(
                    pattern=r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}/(3[0-2]|[12]?\d)$"
                ),
                "via": string(format="ipv4"),
                "metric?": integer(minimum=0, maximum=4294967295),
            },
        ),
        tool("wake", "", {"mac": string(pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")}),
        tool(
            "set_vlan",
            "",
            {"port": string(), "vlans": array(integer(minimum=1, maximum=4094), minItems=1, maxItems=4094)},
        ),
    ],
    ("set_route", {"prefix": "10.0.0.0/8", "via": "192.168.1.1", "metric": 4294967295}),
)

UNLIKE = ToolSet(
    "120 tools, no two alike",
    [
        tool(
            f"act_{i}",
            f"Does the {i}th thing.",
            {
                f"on_{i}": string(),
                f"times_{i}?": integer(minimum=1, maximum=i + 1),
                f"how_{i}?": enum(f"a{i}", f"b{i}"),
            },
        )
        for i in range(120)
    ],
    ("act_77", {"on_77": "x", "times_77": 78, "how_77": "b77"}),
)

SETS = [CLOUD, UNLIKE, MONITORING, INCIDENTS, NETWORKS]
