"""The HTTP side: OpenAI's wire format over the chat service. The only package that knows the web framework."""
