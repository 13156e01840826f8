"""The forms of a call, one file each: what is written, how it is read, how a grammar writes it.

A form's reader and its grammar stand side by side, so that what is forced is what is understood.
"""
