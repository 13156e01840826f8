"""The two tools of the clients' loops, and what a client's script prints: the calls that it made, and the answer."""

from __future__ import annotations

import json
import sys

URL = sys.argv[1]
MODEL = "any"
QUESTION = "Search the encyclopedia for the Rialto Bridge and read the article: when was it finished?"

calls: list[str] = []


def search_articles(query: str) -> str:
    """Search an encyclopedia. Returns the ids and titles of articles."""
    calls.append("search_articles")
    found = [{"article_id": "rialto-bridge", "title": "Rialto Bridge"}] if "rialto" in query.lower() else []
    return json.dumps(found)


def read_article(article_id: str) -> str:
    """Read an article by its id."""
    calls.append("read_article")
    if article_id != "rialto-bridge":
        return json.dumps({"error": f"there is no article {article_id!r}"})
    return "The Rialto Bridge is the oldest bridge over the Grand Canal in Venice. It was finished in 1591."


TOOLS = (search_articles, read_article)


def report(answer: str) -> None:
    """Print the loop as JSON, for the test to read."""
    print(json.dumps({"calls": calls, "answer": answer}))  # noqa: T201  it is the script's output
