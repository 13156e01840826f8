"""The heap of Python objects, and what the garbage collector reads of it.

Knows the collector alone. The law: freezing frees nothing that is in use, and what is made afterwards is collected as
ever.
"""

from __future__ import annotations

import gc


def freeze_heap() -> int:
    """Free what is garbage now and leave all that is left out of later collections; returns how many objects that is.

    A full collection stops every thread for as long as it reads the heap, and what a server has loaded it keeps to its
    end: reading that takes longer than a small model needs for a token.
    """
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()
