"""The verbs of `functiongate`, one file each."""
