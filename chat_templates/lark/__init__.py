"""llguidance's Lark grammars: rules, laid out arguments, Python's literals."""
