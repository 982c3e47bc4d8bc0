"""How much of one shift of log-probabilities is found in another, token by token, and how sure."""

from __future__ import annotations

import numpy as np

CLIP = 1.5  # mean absolute residuals beyond which a token pulls no harder
ROUNDS = 8  # of weighting
GROUPS = 16  # of tokens, left out in turn for the standard error
ENOUGH = 8  # tokens for a second factor
UNKNOWN = 99.0  # the standard error where there are too few tokens to say


def share(
    found: np.ndarray, expected: np.ndarray, beside: np.ndarray | None = None
) -> tuple[float, float]:
    """(share, standard error): the factor of `expected` where `found` is explained, by least
    squares, by `expected` and `beside`. All [tokens], in nats.

    Rounding has heavy tails, as a router that flips moves single tokens by nats, and they are
    larger where the shift is. So residuals beyond CLIP are weighted down (Huber, Annals of
    Mathematical Statistics 35, 1964), and the standard error is the jackknife's over GROUPS of
    tokens. `bench/proofs.py` says what the clipping gains."""
    columns = [expected]
    if beside is not None and len(found) >= ENOUGH and beside.any():
        columns.append(beside)
    if not expected.any() or len(found) <= len(columns):
        return 0.0, UNKNOWN
    x = np.stack(columns, 1)
    x = x / np.abs(x).max(0)  # [tokens, columns]
    groups = min(GROUPS, len(found))
    kept = np.ones((1 + groups, len(found)))  # first with all tokens
    for group in range(groups):
        kept[1 + group, group::groups] = 0
    factors = _factors(x, found, kept)
    left_out = factors[1:] - factors[1:].mean()
    error = float(np.sqrt((groups - 1) / groups * (left_out**2).sum()))
    scale = float(np.abs(expected).max())
    return float(factors[0]) / scale, min(UNKNOWN, error / scale)


def _factors(x: np.ndarray, found: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The factor of x's first column, of each row of `kept`: [rows, tokens], 1 or 0."""
    size = x.shape[1]
    products = np.concatenate(
        [(x[:, :, None] * x[:, None]).reshape(len(x), -1), x * found[:, None]], 1
    )
    weights, counts = kept, kept.sum(1)
    for _ in range(ROUNDS):
        sums = weights @ products
        squares = sums[:, : size * size].reshape(-1, size, size)
        factors = (np.linalg.pinv(squares, hermitian=True) @ sums[:, size * size :, None])[..., 0]
        residuals = np.abs(found - factors @ x.T)
        limits = (CLIP * (residuals * kept).sum(1) / counts)[:, None]
        over = residuals > limits
        weights = kept * np.where(over, limits / np.where(over, residuals, 1.0), 1.0)
    return factors[:, 0]
