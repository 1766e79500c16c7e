"""The headers that CPU and CUDA kernels share: known answers, sanitizers, and nvcc."""

import shutil
import subprocess
from pathlib import Path

import oracle_random
import pytest
import torch

from dsr_kernels.reference.bijection import permute, round_keys
from dsr_kernels.reference.philox import philox4x32

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests/native/common/headers_test.cpp"
ANSWERS = ROOT / "tests/native/common/known_answers.txt"
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
FLAGS = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def known(kind):
    lines = [line.split() for line in ANSWERS.read_text().splitlines()]
    return [line[1:] for line in lines if line[0] == kind]


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_cpp_gives_the_known_answers_under_the_sanitizers(tmp_path):
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler is not None, "expected a C++ compiler on PATH: the build needs one too"
    program = tmp_path / "headers_test"
    run(compiler, *FLAGS, *SANITIZE, f"-I{ROOT / 'csrc'}", PROGRAM, "-o", program)
    assert run(program, ANSWERS) == "0 failures\n"
    changed = tmp_path / "changed.txt"
    changed.write_text(ANSWERS.read_text().replace("6627e8d5", "6627e8d6"))
    done = subprocess.run([program, changed], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "1 failures")


@pytest.mark.skipif(NVCC is None, reason="no nvcc: the headers were not compiled for a GPU")
def test_nvcc_compiles_them_for_the_device(tmp_path):
    flags = ["-std=c++17", "-arch=sm_90", "--fmad=false", "-Werror", "all-warnings", "-x", "cu"]
    run(NVCC, *flags, f"-I{ROOT / 'csrc'}", "-c", PROGRAM, "-o", tmp_path / "headers_test.o")


def test_python_gives_the_known_answers_of_philox():
    answers = known("philox")
    assert len(answers) == 3
    for line in answers:
        numbers = [int(word, 16) for word in line]
        counter, key, words = numbers[:4], numbers[4:6], numbers[6:]
        assert philox4x32([torch.tensor(word) for word in counter], key).tolist() == words
        assert oracle_random.philox(counter, key) == words


def test_python_gives_the_known_answers_of_the_bijection():
    answers = known("place")
    assert len(answers) == 48
    for line in answers:
        middle = line.index(">")
        seed, purpose, layer, reallocation, size, *ranks = map(int, line[:middle])
        places = list(map(int, line[middle + 1 :]))
        keys = round_keys(seed, purpose, layer, torch.tensor([reallocation]))
        assert permute(torch.tensor(ranks), size, keys).tolist() == places
        words = [
            word
            for index in range(3)
            for word in oracle_random.words(index, seed, purpose, layer, reallocation)
        ]
        assert [oracle_random.place_of_rank(rank, size, words) for rank in ranks] == places
