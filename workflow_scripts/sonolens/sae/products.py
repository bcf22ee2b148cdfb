"""Which library multiplies matrices on the CPU."""

import platform
from pathlib import Path

import torch

# Largest error of a product of two standard normal (256, 256) matrices in fp32, whose entries have spread 16; a
# product in bf16 is off by about 0.1.
LARGEST_ERROR = 1e-3


def _is_intel() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return "GenuineIntel" in (cpuinfo.read_text() if cpuinfo.exists() else platform.processor())


def use_fast_exact_products() -> str:
    """Choose the library for fp32 products on the CPU; what was chosen, and its measured error, for the log.

    torch takes MKL, which is not at its best on processors that are not Intel's. Allowing bf16 sends products to oneDNN
    instead, which computes them in exact fp32 unless the processor has matrix units for bf16 (AMX); so its error is
    measured, and the permission withdrawn if it is not that of fp32. The choice follows from the processor alone, not
    from timings, so that a rerun adds up in the same order.
    """
    setting = torch.backends.mkldnn.matmul
    setting.fp32_precision = "ieee" if _is_intel() else "bf16"
    error = _product_error()
    if error > LARGEST_ERROR:
        setting.fp32_precision = "ieee"
        error = _product_error()
    library = "oneDNN" if setting.fp32_precision == "bf16" else "torch's own"
    return f"matrix products: {library}, fp32, largest error {error:.1e}"


def _product_error() -> float:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    return float((a @ b - a.double() @ b.double()).abs().max())
