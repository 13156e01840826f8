"""What the answers of OpenAI's completions share: heads, usage, tokens, and several answers in one."""
