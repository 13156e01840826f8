"""Salesforce's first function-calling xLAM (1B and 7B): one block of text, answered by one object of calls."""
