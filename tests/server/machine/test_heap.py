"""A frozen heap is out of the collector's sight; what comes after it is not."""

from __future__ import annotations

import gc
import weakref

from server.machine.heap import freeze_heap


class Node:
    """An object that only the collector can free once it refers to itself."""

    def __init__(self):
        self.own = self


def test_what_is_alive_is_read_no_more_and_stays_alive():
    kept = [Node() for _ in range(1000)]
    assert freeze_heap() >= 1000
    tracked = {id(each) for each in gc.get_objects()}
    assert not tracked & {id(node) for node in kept}
    gc.collect()
    assert all(node.own is node for node in kept)


def test_garbage_is_freed_before_and_not_kept():
    garbage = weakref.ref(Node())
    freeze_heap()
    assert garbage() is None


def test_garbage_of_later_is_collected():
    freeze_heap()
    later = weakref.ref(Node())
    gc.collect()
    assert later() is None
