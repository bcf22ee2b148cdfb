"""Which library multiplies matrices, and in what precision."""

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

# Largest error of a product of two standard normal (256, 256) matrices in fp32, whose entries have spread 16; a
# product in bf16 is off by about 0.1.
LARGEST_ERROR = 1e-3


class Products(NamedTuple):
    """How matrices are multiplied, as found out by multiplying."""

    library: str
    precision: str  # what they are rounded to before they are multiplied: fp32, tf32 or bf16
    largest_error: float  # of a product of two standard normal (256, 256) matrices, whose entries have spread 16

    @property
    def dtype(self) -> torch.dtype:
        """Of the large matrices that are multiplied."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While a model is trained; what is measured outside is measured in fp32, whatever it was trained in."""
        setting = torch.backends.cuda.matmul
        before = setting.fp32_precision
        setting.fp32_precision = "tf32" if self.precision == "tf32" else "ieee"
        try:
            yield
        finally:
            setting.fp32_precision = before

    def __str__(self) -> str:
        return f"matrix products: {self.library}, {self.precision}, largest error {self.largest_error:.1e}"


def _is_intel() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return "GenuineIntel" in (cpuinfo.read_text() if cpuinfo.exists() else platform.processor())


def use_fast_exact_products() -> Products:
    """Choose the library for fp32 products on the CPU, for all that this process multiplies.

    torch takes MKL, which is not at its best on processors that are not Intel's. Allowing bf16 sends products to oneDNN
    instead, which computes them in exact fp32 unless the processor has matrix units for bf16 (AMX); so its error is
    measured, and the permission withdrawn if it is not that of fp32. The choice follows from the processor alone, not
    from timings, so that a rerun adds up in the same order.
    """
    setting = torch.backends.mkldnn.matmul
    setting.fp32_precision = "ieee" if _is_intel() else "bf16"
    error = _product_error(torch.float32, "cpu")
    if error > LARGEST_ERROR:
        setting.fp32_precision = "ieee"
        error = _product_error(torch.float32, "cpu")
    library = "oneDNN" if setting.fp32_precision == "bf16" else "torch's own"
    return Products(library, "fp32", error)


def products_for_training(precision: str, device: torch.device) -> Products:
    """Products in `precision` ("fp32", "tf32", "bf16") as far as the device has it in hardware, else in fp32."""
    exact = use_fast_exact_products()
    if device.type == "cpu":
        is_bf16 = precision == "bf16" and torch.cpu._is_avx512_bf16_supported()
        return Products("oneDNN", "bf16", _product_error(torch.bfloat16, device)) if is_bf16 else exact
    is_bf16 = precision == "bf16" and torch.cuda.is_bf16_supported(including_emulation=False)
    with Products("cuBLAS", precision, 0.0).in_use():
        error = _product_error(torch.bfloat16 if is_bf16 else torch.float32, device)
    # older cards take the permission to round and have no use for it
    found = "bf16" if is_bf16 else "tf32" if error > LARGEST_ERROR else "fp32"
    return Products("cuBLAS", found, error)


def _product_error(dtype: torch.dtype, device: torch.device | str) -> float:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    product = a.to(device, dtype) @ b.to(device, dtype)
    return float((product.cpu().double() - a.double() @ b.double()).abs().max())
