"""Salesforce's xLAM-2 on Qwen 2.5 and Llama 3.1: calls as one JSON array."""
