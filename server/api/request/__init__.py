"""What the requests of every dialect have: fields, tools, sampling, terms, and what is left out."""
