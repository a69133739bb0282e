"""Sizes of the networks, valid and invalid."""

import equinox as eqx
import jax
import pytest

from mbrl.models.networks import mlp


def test_depth_counts_hidden_layers_and_width_their_units():
    network = eqx.filter_eval_shape(lambda: mlp(3, 2, width=7, depth=2, key=jax.random.key(0)))
    assert [layer.weight.shape for layer in network.layers] == [(7, 3), (7, 7), (2, 7)]


@pytest.mark.parametrize(
    "size", [{"width": 0, "depth": 1}, {"width": 8, "depth": 0}], ids=["width", "depth"]
)
def test_a_network_without_units_or_layers_is_refused(size):
    with pytest.raises(
        ValueError, match=r"(width|depth)=0 of a model's network: must be (at least|from) 1"
    ):
        mlp(3, 2, **size, key=jax.random.key(0))
