"""Let `torchcrepe` and `encodec` be imported where torchaudio cannot be.

They import torchaudio to read and resample files, which this project does with soundfile and soxr. PyPI's torchaudio
is a CUDA build that raises OSError, not ImportError, beside a CPU build of torch. Import this module first.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

try:
    import torchaudio  # noqa: F401
except (ImportError, OSError):
    stand_in = ModuleType("torchaudio", "An empty stand-in: nothing of torchaudio is used here.")
    stand_in.__spec__ = ModuleSpec("torchaudio", loader=None)
    sys.modules["torchaudio"] = stand_in
