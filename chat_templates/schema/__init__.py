"""JSON Schema: one spelling of it, its limits, and what a grammar enforces of it."""
