# pyright: reportMissingImports=false
# Triton is not installed everywhere.
"""Machine code of the CUDA sampling kernels, without a GPU: `python benchmarks/triton_code.py [--capability 90]`.

Compiles the kernels of spatial attention (8 heads of 32 channels, 4 levels, 4 points) and of space-time attention (48
channels, 32 points, 36 frames) for a compute capability and prints registers, bytes of spilled registers, warp
instructions per point, and how wide memory is read and added to. Needs triton 3.6 or later (its wheel brings the
assembler and the disassembler); instructions per point are those of the code, and loops count once per turn.
"""

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from maskreel.kernels import triton as kernels

WARPS = 4
TABLES = ("VALUE", "OUTPUT", "UPSTREAM")
"""Arguments in the table's number format; other arrays are float32 or, FRAMES and LEVELS, int32."""
SPATIAL = {"CHANNELS": 32, "LANES": 32, "SLOT_FRAMES": 1, "NUM_LEVELS": 4, "POINTS": 4, "BLOCK": 32, "SCATTER": True}
SPACE_TIME = SPATIAL | {"CHANNELS": 48, "LANES": 64, "SLOT_FRAMES": 36, "NUM_LEVELS": 1, "POINTS": 32, "BLOCK": 16}
KERNELS = {
    "spatial forward": (kernels._forward_maps, SPATIAL, 16),
    "spatial backward": (kernels._backward_maps, SPATIAL, 16),
    # The loop over points is a loop in the code too: one turn is one point.
    "space-time forward": (kernels._forward_times, SPACE_TIME, 1),
    "space-time backward": (kernels._backward_times, SPACE_TIME, 1),
}
MEMORY = ("LDG", "RED", "LDL", "STL", "BAR")
"""Loads, additions in memory, spills, and barriers."""


def machine_code(kernel: Any, constants: dict[str, Any], table: str, capability: int) -> tuple[str, str]:
    """Disassembly and resource usage."""
    names = kernel.arg_names
    kinds, known = {}, {}
    for place, name in enumerate(names):
        if name in constants:
            kinds[name], known[(place,)] = "constexpr", constants[name]
        elif name in TABLES:
            kinds[name] = f"*{table}"
        elif name in ("FRAMES", "LEVELS"):
            kinds[name] = "*i32"
        else:
            kinds[name] = "*fp32" if name.isupper() else "i32"
    # As at a launch: arrays begin at, and strides are, multiples of 16.
    even = [place for place, name in enumerate(names) if kinds[name][0] == "*" or name.endswith("stride")]
    divisible = {(place,): [["tt.divisibility", 16]] for place in even}
    source = ASTSource(kernel, kinds, known, divisible)
    done = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": WARPS})
    assert triton.__file__ is not None, "triton is a package with files"
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(done.asm["cubin"])
        file.flush()
        code, usage = (
            subprocess.run([tool, option, file.name], capture_output=True, text=True, check=True).stdout
            for option in ("-sass", "-res-usage")
        )
    return code, usage


def main() -> None:
    parser = argparse.ArgumentParser(description="Machine code of the CUDA sampling kernels.")
    parser.add_argument("--capability", type=int, default=90, help="compute capability: 80, 90, ...")
    args = parser.parse_args()
    print(f"triton {triton.__version__}, sm_{args.capability}")
    for name, (kernel, constants, points) in KERNELS.items():
        for table in ("fp32", "bf16"):
            code, usage = machine_code(kernel, constants, table, args.capability)
            found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
            assert found is not None, "cuobjdump tells registers and stack"
            instructions = Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([A-Z][A-Za-z0-9_.]*)", code))
            total = sum(count for each, count in instructions.items() if each != "NOP")
            memory = {each: count for each, count in sorted(instructions.items()) if each.startswith(MEMORY)}
            print(
                f"{name}, {table}: {found[1]} registers, {found[2]} bytes spilled, "
                f"{total * WARPS / (constants['BLOCK'] * points):.1f} warp instructions per point; {memory}"
            )


if __name__ == "__main__":
    main()
