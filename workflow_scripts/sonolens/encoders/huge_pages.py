"""Have torch ask for huge pages. Import this before the first tensor is made: torch looks at the variable once.

A convolution at the rate of the audio fills tens of megabytes that were never touched. In pages of 4 KiB that takes a
quarter of the time of DiffRhythm-VAE on a CPU. Nothing but time depends on it; a system without them ignores it.
"""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
