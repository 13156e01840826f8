"""The dialect of Messages."""
