"""How sure an answer's decisions were: a call or text, which tool, which values, another call or the end."""
