"""What every GPU kernel takes once compiled: registers, spills, used stack, shared memory, FMAs.

``python tests/kernel_resources.py [op ...]`` compiles them, without a GPU, and writes the table
that the tests hold later builds against. ``fma`` counts fused multiply-adds in the machine code:
where integers decide, a product and a sum must stay two roundings. ``tensor`` names the
tensor-core instructions there.
"""

import csv
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tests/kernel_resources.csv"
COLUMNS = ("compiler", "op", "kernel", "arch", "registers", "spills", "stack", "shared", "fma")
COLUMNS += ("tensor",)
KEY = COLUMNS[:4]
TEXTS = (*KEY[:3], "tensor")
ARCHS = (80, 90)
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
NVCC_FLAGS = ["-std=c++17", "-O3", "--fmad=false", "-Werror", "all-warnings", "-cubin"]
# All files but the one that only asks the driver.
CUDA_FILES = sorted({path.stem for path in (ROOT / "csrc/cuda").glob("*.cu")} - {"device"})
# A half-precision one that multiplies zeros is how a constant gets into a register. Those of
# float64 are what a division, rounded once, is made of.
FUSED = re.compile(r"\b(?:FFMA|HFMA2)(?:\.\w+)* (?!R\d+, -RZ, RZ,)")
# ptxas 12.9 reserves 8 bytes of stack in some kernels of Triton 3.9 that no instruction touches.
USES_STACK = re.compile(r"\b(?:LDL|STL)\b")
TENSOR = re.compile(r"\b(?:HMMA|HGMMA|DMMA|IMMA)\.[\w.]+")


def triton_rows(op, arch):
    """The rows of every variant of an op's Triton kernels, and their PTX."""
    import triton
    from triton_variants import VARIANTS, signature

    from dsr_kernels.triton_kernels.tuning import tuning

    rows, texts = [], []
    for kernel, constexprs, options in VARIANTS[op]:
        defaults = {"enable_fp_fusion": False}
        if "num_warps" not in options:
            defaults["num_warps"] = tuning(op).warps
        built = compiled(kernel, signature(kernel), constexprs, defaults | options, arch)
        constants = [f"{name}={value}" for name, value in (constexprs | options).items()]
        name = " ".join([kernel.__name__, *constants])
        (used,) = usage(built.asm["cubin"]).values()
        rows.append(_row(f"triton {triton.__version__}", op, name, arch) | used)
        texts.append(built.asm["ptx"])
    return rows, texts


def compiled(kernel, types, constexprs, options, arch, attributes=None):
    """A Triton kernel compiled for an architecture that need not be here.

    ``attributes`` is what a launch would find out, such as pointers to multiples of 16 bytes.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(kernel, types, constexprs, attributes)
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def cuda_rows(stem, arch):
    """The rows of every kernel in csrc/cuda/<stem>.cu, and their PTX."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernels.cubin"
        source = str(ROOT / f"csrc/cuda/{stem}.cu")
        command = [NVCC, *NVCC_FLAGS, f"-arch=sm_{arch}", f"-I{ROOT / 'csrc'}", source]
        command += ["--keep", f"--keep-dir={folder}"]
        done = _run([*command, "-o", str(cubin)], check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        usages = usage(cubin.read_bytes())
        (ptx,) = [path.read_text() for path in Path(folder).glob("*.ptx")]
    compiler = f"nvcc {nvcc_version()}"
    rows = [_row(compiler, stem, _readable(name), arch) | use for name, use in usages.items()]
    return rows, [ptx]


def nvcc_version():
    return re.search(r"V(\d+\.\d+\.\d+)", _run([NVCC, "--version"]).stdout)[1]


def compare(rows):
    """What is wrong: any spill or stack, and a rise where the compiler is the same."""
    known = {tuple(row[name] for name in KEY): row for row in read_table()}
    compilers = {compiler for compiler, *_ in known}
    wrong = [f"{_where(row)}: {row['spills']} bytes of spills" for row in rows if row["spills"]]
    wrong += [f"{_where(row)}: {row['stack']} bytes of stack" for row in rows if row["stack"]]
    for row in rows:
        before = known.get(tuple(row[name] for name in KEY))
        if before is None and row["compiler"] in compilers:
            wrong.append(f"{_where(row)}: not in {TABLE.name}; run make kernel-resources")
        for name in COLUMNS[4:] if before is not None else ():
            if name in TEXTS and row[name] != before[name]:
                wrong.append(f"{_where(row)}: {name} was {before[name]!r}, is {row[name]!r}")
            elif name not in TEXTS and row[name] > before[name]:
                wrong.append(f"{_where(row)}: {name} rose from {before[name]} to {row[name]}")
    return wrong


def read_table():
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{n: v if n in TEXTS else int(v) for n, v in row.items()} for row in rows]


def main(names):
    """Write the table anew: all of it, or the rows of the ops and .cu files named."""
    from product_variants import PRODUCTS, product_rows
    from triton_variants import VARIANTS

    makers = [(op, triton_rows) for op in VARIANTS] + [(op, product_rows) for op in PRODUCTS]
    makers += [(stem, cuda_rows) for stem in CUDA_FILES]
    chosen = [(name, make) for name, make in makers if not names or name in names]
    made = [row for name, make in chosen for arch in ARCHS for row in make(name, arch)[0]]
    kept = [row for row in read_table() if names and row["op"] not in dict(chosen)]
    rows = sorted([*kept, *made], key=lambda row: tuple(row[name] for name in KEY))
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{TABLE}: {len(made)} kernels, {len(rows)} in all")


def _row(compiler, op, kernel, arch):
    return {"compiler": compiler, "op": op, "kernel": kernel, "arch": arch}


def _where(row):
    return f"{row['op']}: {row['kernel']} for sm_{row['arch']}"


def usage(cubin):
    """The columns behind the key of each kernel in a cubin."""
    resources = _dump(cubin, "--dump-resource-usage")
    parts = machine_code(cubin).split("Function : ")[1:]
    codes = {part.split("\n", 1)[0].strip(): part for part in parts}
    usages = {}
    for name, text in re.findall(r"Function (\S+):\s*\n([^\n]+)", resources):
        numbers = {k: int(v) for k, v in re.findall(r"([A-Z]+)(?:\[\d\])?:(\d+)", text)}
        usages[name] = {
            "registers": numbers["REG"],
            "spills": numbers["LOCAL"],
            "stack": numbers["STACK"] if USES_STACK.search(codes[name]) else 0,
            "shared": numbers["SHARED"],
            "fma": len(FUSED.findall(codes[name])),
            "tensor": " ".join(sorted(set(TENSOR.findall(codes[name])))),
        }
    assert usages, resources
    return usages


def machine_code(cubin):
    """The instructions of a cubin, in words."""
    return _dump(cubin, "--dump-sass")


def _dump(cubin, what):
    """With the cuobjdump of Triton's wheel: a CUDA toolkit need not have one."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.cubin"
        path.write_bytes(cubin)
        return _run([str(tool), what, str(path)]).stdout


def _readable(symbol):
    """A kernel's name and template arguments, without its namespace and parameters."""
    name = _run(["c++filt", symbol]).stdout.strip().removeprefix("void ")
    name = name.replace("dsr::cuda::", "").replace("(anonymous namespace)::", "")
    depth = 0
    for i, character in enumerate(name):
        depth += (character == "<") - (character == ">")
        if character == "(" and depth == 0:
            return name[:i]
    return name


def _run(command, check=True):
    return subprocess.run(command, capture_output=True, text=True, check=check)


if __name__ == "__main__":
    main(sys.argv[1:])
