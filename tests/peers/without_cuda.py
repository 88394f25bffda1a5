"""Makes the torch of PyPI load without CUDA: `python without_cuda.py`, with the Python of the
environment that holds torch.

That torch is linked against libraries of CUDA (2.5 GB) that it calls only on a GPU. Here an empty
library of the same name stands in for each of them. That is enough for the loader as long as it
looks functions up at their first call: see `lazily`. A torch for processors only needs no
stand-ins.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Name of each library, and the version of its symbols.
LIBRARIES = {
    "libcublas.so.13": "libcublas.so.13",
    "libcublasLt.so.13": "libcublasLt.so.13",
    "libcudnn.so.9": "libcudnn.so.9",
    "libcufft.so.12": "libcufft.so.12",
    "libcusparse.so.12": "libcusparse.so.12",
    "libcusparseLt.so.0": "libcusparseLt.so.0",
    "libnccl.so.2": "libnccl.so.2",
    "libnvrtc.so.13": "libnvrtc.so.13",
    "libnvshmem_host.so.3": "NVSHMEM",
}
# The only variable that torch takes from them. The loader looks variables up at once.
SOURCE = "int nvshmem_selected_device_transport;\n"


def lazily():
    """To be called before `import torch`: functions are looked up when they are first called."""
    sys.setdlopenflags(os.RTLD_LAZY)


def main():
    libraries = Path(importlib.util.find_spec("torch").origin).parent / "lib"
    if not (libraries / "libtorch_cuda.so").exists():
        return
    with tempfile.TemporaryDirectory() as temporary:
        source, script = Path(temporary, "empty.c"), Path(temporary, "versions")
        source.write_text(SOURCE)
        for name, version in LIBRARIES.items():
            script.write_text(f"{version} {{ *; }};\n")
            subprocess.run(["cc", "-shared", "-nostdlib", "-fPIC", f"-Wl,-soname,{name}",
                            f"-Wl,--version-script={script}",
                            "-o", str(libraries / name), str(source)], check=True)


if __name__ == "__main__":
    main()
