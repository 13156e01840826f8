"""OpenAI's gpt-oss: the harmony format, messages in channels."""
