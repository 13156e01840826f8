"""The description for machines: what OpenAPI tells of each route."""
