"""From a recipe to a plan: the type of every tensor, and the file's length to the byte."""
