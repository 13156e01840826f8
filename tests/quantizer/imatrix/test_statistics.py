import math

import numpy as np
import pytest

from quantizer.imatrix.file import Imatrix, ImatrixEntry
from quantizer.imatrix.statistics import layer_statistics, tensor_statistics


def entry(rows, counts):
    return ImatrixEntry(np.array(rows, np.float64), np.array(counts))


def only(imatrix, name):
    return next(found for found in tensor_statistics(imatrix) if found.name == name)


def test_the_statistics_are_those_of_the_definition():
    found = only(Imatrix({"blk.0.attn_k.weight": entry([[2.0, 2.0, 4.0, 0.0]], [2])}), "blk.0.attn_k.weight")
    assert (found.layer, found.kind, found.n) == (0, "attn_k", 4)
    assert (found.total, found.minimum, found.maximum, found.mean) == (4.0, 0.0, 2.0, 1.0)
    assert found.deviation == pytest.approx(math.sqrt(0.5))
    assert found.active == 0.75
    assert found.entropy == pytest.approx(1.5)
    assert found.normalised_entropy == pytest.approx(0.75)
    assert found.zd == 0.25
    assert found.cosine == 0.0


def test_the_cosine_is_with_the_same_tensor_one_layer_before():
    imatrix = Imatrix(
        {
            "blk.0.attn_k.weight": entry([[1.0, 0.0]], [1]),
            "blk.1.attn_k.weight": entry([[1.0, 1.0]], [1]),
            "blk.1.attn_q.weight": entry([[0.0, 1.0]], [1]),
            "output.weight": entry([[1.0, 1.0]], [1]),
        }
    )
    assert only(imatrix, "blk.1.attn_k.weight").cosine == pytest.approx(math.sqrt(0.5))
    assert only(imatrix, "blk.1.attn_q.weight").cosine == 0.0
    assert only(imatrix, "output.weight").layer is None


def test_an_expert_without_tokens_is_left_out():
    found = only(
        Imatrix({"blk.0.ffn_down_exps.weight": entry([[3.0, 6.0], [0.0, 0.0]], [3, 0])}), "blk.0.ffn_down_exps.weight"
    )
    assert (found.n, found.total) == (2, 3.0)


def test_layers_are_averaged_by_columns():
    imatrix = Imatrix(
        {
            "blk.0.a.weight": entry([[1.0, 1.0]], [1]),
            "blk.0.b.weight": entry([[5.0] * 6], [1]),
        }
    )
    (layer,) = layer_statistics(tensor_statistics(imatrix))
    assert layer.total == pytest.approx((2 * 2 + 6 * 30) / 8)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_picture_is_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    from quantizer.imatrix.statistics_plot import plot_statistics

    tensors = tensor_statistics(Imatrix({f"blk.{i}.attn_k.weight": entry([[1.0, i + 1]], [1]) for i in range(3)}))
    path = tmp_path / f"p.{suffix}"
    plot_statistics(path, tensors, layer_statistics(tensors))
    assert path.stat().st_size > 1000
