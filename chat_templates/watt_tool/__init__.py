"""watt-tool 8B and 70B on Llama 3: tools as a Python list in the system turn, calls as a list of Python calls."""
