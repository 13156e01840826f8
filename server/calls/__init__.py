"""How well a model calls: requests of ours, what is right for each, and the search for the setting that serves it."""
