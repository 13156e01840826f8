"""All sets of tools, group by group."""

from __future__ import annotations

from tool_sets import agents, data, developers, documents, edges, generated, operations, people, things, web
from tool_sets.shapes import ToolSet

GROUPS = (developers, agents, people, documents, web, data, things, operations, generated, edges)
TOOL_SETS: tuple[ToolSet, ...] = tuple(each for group in GROUPS for each in group.SETS)
USABLE = tuple(each for each in TOOL_SETS if each.refused is None)
REFUSED = tuple(each for each in TOOL_SETS if each.refused is not None)
