"""Products of codes are those of the whole matrix, whether all are multiplied or those above 0 only."""

import pytest
import torch
from numba.core.errors import TypingError

from sonolens.sae import blocks, sparse_products
from sonolens.sae.codes import CodeBlocks
from sonolens.sae.model import SparseAutoencoder


def model_of(share: float, x: torch.Tensor) -> SparseAutoencoder:
    """About this share of its codes of x (B, D) is above 0."""
    model = SparseAutoencoder(x.shape[1], 133)
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.b_enc -= model.encode(x).h.flatten().quantile(1 - share)
    return model


@pytest.mark.parametrize("n_columns", [3, 16, 20, 66, 130])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("tile_features", [24, 1000])
def test_products_are_those_of_the_whole_matrix(monkeypatch, tile_features, share, n_columns):
    monkeypatch.setattr(sparse_products, "TILE_BYTES", tile_features * 64 * 4)
    monkeypatch.setattr(blocks, "CPU_BLOCK_BYTES", 1)  # blocks of 32 frames
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(75, 5, generator=generator)
    rows, of_frames = (torch.randn(n, n_columns, generator=generator) for n in (133, 75))
    model, total, products = model_of(share, x), torch.ones(133, n_columns), []
    code_blocks = CodeBlocks(model)
    for start in range(0, 75, 32):
        codes = code_blocks(x[start : start + 32])
        for _ in range(2):  # once it is listed, a block may be multiplied as often as one likes
            product = codes.times(rows)
            codes.add_products(of_frames[start : start + 32], total)
        products.append(product)
        assert codes.are_listed == (share < 0.3 and n_columns > 15)
    h = model.encode(x).h.detach()
    torch.testing.assert_close(torch.cat(products), h @ rows, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(total, 1 + 2 * h.T @ of_frames, rtol=1e-5, atol=1e-5)


def test_what_does_not_lie_in_one_piece_is_refused():
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    codes = CodeBlocks(model_of(0.05, x))(x)
    with pytest.raises(TypingError, match="have to lie so, in an array in C order"):
        codes.times(torch.randn(20, 133).T)
