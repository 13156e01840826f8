"""Any model: the tools described in the system turn, a JSON object expected as the call."""
