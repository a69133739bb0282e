"""Annotations are checked while tests run; otherwise broadcasting would hide wrong shapes."""

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from mbrl.data.normaliser import identity_normaliser
from mbrl.types import Discrete


def test_a_wrong_shape_is_rejected():
    with pytest.raises(TypeCheckError):
        identity_normaliser(3).reward(jnp.zeros(3))


def test_a_wrong_dtype_is_rejected():
    with pytest.raises(TypeCheckError):
        Discrete(3).features(jnp.array(1.0))


def test_fields_of_modules_are_checked():
    with pytest.raises(TypeCheckError):
        Discrete("three")


def test_implicit_promotion_of_dtypes_and_ranks_is_rejected():
    with pytest.raises(ValueError, match="dtype promotion"):
        jnp.ones(3) * jnp.arange(3)
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones(3) * jnp.ones((2, 3))
