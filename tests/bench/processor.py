"""This machine's processor as the results files know it: its name, its vector units, and its class.

A class is a set of units that decides which kernels and which of oneDNN's products run. Each class
has one results file in results/ here, in results/concurrency/ and in ../load/results/, and one
section in docs/performance.md.
"""
import re
import time
from pathlib import Path

UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")

# Best first: the first class whose units are all there is the processor's.
CLASSES = {
    "amx": ("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    "avx512": ("avx512f", "avx512_vnni", "avx512_bf16"),
    "avx2": ("avx2",),
    "portable": (),
}
TITLES = {"amx": "AMX", "avx512": "AVX-512", "avx2": "AVX2", "portable": "no vector unit that is used"}

# (vendor, family, first model, last model): the name of the design. Virtual machines often hide the
# product's name ("AMD EPYC"), never these numbers.
DESIGNS = (
    ("AuthenticAMD", 23, 0x30, 0xFF, "Zen 2"),
    ("AuthenticAMD", 25, 0x00, 0x0F, "Zen 3"),
    ("AuthenticAMD", 25, 0x20, 0x5F, "Zen 3"),
    ("AuthenticAMD", 25, 0x10, 0x1F, "Zen 4"),
    ("AuthenticAMD", 25, 0x60, 0xAF, "Zen 4"),
    ("AuthenticAMD", 26, 0x00, 0xFF, "Zen 5"),
    ("GenuineIntel", 6, 0x55, 0x55, "Skylake, Cascade Lake or Cooper Lake"),
    ("GenuineIntel", 6, 0x6A, 0x6C, "Ice Lake"),
    ("GenuineIntel", 6, 0x8F, 0x8F, "Sapphire Rapids"),
    ("GenuineIntel", 6, 0xCF, 0xCF, "Emerald Rapids"),
    ("GenuineIntel", 6, 0xAD, 0xAE, "Granite Rapids"),
)


def class_of(units):
    return next(name for name, needed in CLASSES.items() if set(needed) <= set(units))


def describe(cpuinfo=None):
    """{"machine", "design", "units"} of /proc/cpuinfo's first processor."""
    text = cpuinfo or Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    first = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in first.items()}
    vendor, family, model = facts["vendor_id"], int(facts["cpu family"]), int(facts["model"])
    designs = [name for v, f, low, high, name in DESIGNS if (v, f) == (vendor, family) and low <= model <= high]
    flags = facts["flags"].split()
    return {"machine": facts["model name"], "design": designs[0] if designs else "", "units": [unit for unit in UNITS if unit in flags]}


def title(name, facts):
    """Heading of a class's section: "AVX2: 2 cores, AMD EPYC (Zen 3)"."""
    design = f" ({facts['design']})" if facts.get("design") else ""
    return f"{TITLES[name]}: {facts['threads']} cores, {facts['machine']}{design}"


def when():
    """{"date", "longspan"} of a measurement made now, from this tree."""
    cmake = (Path(__file__).parents[2] / "CMakeLists.txt").read_text(encoding="utf-8")
    return {"date": time.strftime("%Y-%m-%d"), "longspan": re.search(r"project\(longspan VERSION ([0-9.]+)", cmake)[1]}


def results_file(folder):
    """Where a tool that measures here writes: FOLDER/CLASS.json."""
    return Path(folder) / f"{class_of(describe()['units'])}.json"


def results_files(folder):
    """The files of a folder by class, best class first."""
    return {name: path for name in CLASSES if (path := Path(folder) / f"{name}.json").exists()}
