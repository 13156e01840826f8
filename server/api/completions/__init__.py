"""The dialect of plain completions."""
