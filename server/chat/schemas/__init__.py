"""How the schemas of a request are enforced, and what its client is told where they are not."""
