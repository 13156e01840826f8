"""MeetKai's Functionary v3.1 and v4r on Llama 3.1: calls in `<function=NAME>` tags, code after `<|python_tag|>`."""
