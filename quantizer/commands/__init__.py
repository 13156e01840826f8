"""The verbs of the command line, one file each: flags in, the Python API called, a table or JSON out."""
