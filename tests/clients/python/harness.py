"""What the tests of client/python share: the package as users install it (an sdist, a wheel out of
it, installed), servers, and stubs that grpcio-tools makes of the contract.

    TEST.py SOURCE_DIR BUILD_DIR MODEL
"""
import atexit
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

SOURCE, BUILD, MODEL = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
CLIENT = SOURCE / "client/python"
os.environ["no_grpc_proxy"] = "127.0.0.1"
FOLDER = Path(tempfile.mkdtemp(prefix="longspan-python-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def run(*command, **keywords):
    """Runs a command, and fails with what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **keywords)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_sdist(out):
    """The sdist, built by the pinned tools of this environment."""
    run(sys.executable, "-c", f"import hatchling.build; hatchling.build.build_sdist({str(out)!r})", cwd=CLIENT)
    return next(Path(out).glob("longspan-*.tar.gz"))


def build_wheel(sdist, out):
    """A wheel from the sdist alone: nothing of the checkout is beside it."""
    unpacked = Path(tempfile.mkdtemp(dir=FOLDER))
    shutil.unpack_archive(sdist, unpacked)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", out, next(unpacked.iterdir()))
    return next(Path(out).glob("longspan-*.whl"))


def install():
    """Puts the package on the path, as its wheel has it."""
    run(sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", FOLDER / "site",
        build_wheel(build_sdist(FOLDER), FOLDER))
    sys.path.insert(0, str(FOLDER / "site"))
    return importlib.import_module("longspan")


def stubs():
    """The modules encoder_pb2 and encoder_pb2_grpc, as README.md makes them."""
    out, site = FOLDER / "stubs", Path(importlib.import_module("google.rpc.status_pb2").__file__).parents[2]
    out.mkdir()
    own = Path(importlib.import_module("grpc_tools").__file__).parent / "_proto"
    assert protoc.main(["protoc", f"-I{SOURCE}/proto", f"-I{site}", f"-I{own}", f"--python_out={out}", f"--grpc_python_out={out}",
                        "longspan/v1/encoder.proto"]) == 0
    # The stubs' folder is named as the package is. A name of their own keeps the two apart.
    (out / "longspan").rename(out / "raw")
    for module in (out / "raw/v1").glob("*.py"):
        module.write_text(module.read_text().replace("from longspan.v1", "from raw.v1"))
    sys.path.insert(0, str(out))
    return importlib.import_module("raw.v1.encoder_pb2"), importlib.import_module("raw.v1.encoder_pb2_grpc")


class Server:
    """longspan-server on the embedded model and a free port, from the constructor to stop()."""

    def __init__(self, *flags):
        self.process = subprocess.Popen([f"{BUILD}/longspan-server", "--model", MODEL, "--listen", "127.0.0.1:0", "--http", "off", "--drain-delay", "0",
                                         "--log-level", "error", *flags], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)    # whatever a test does
        self.address = next(m for m in (re.search(r"gRPC on (127\.0\.0\.1:\d+)", line) for line in self.process.stdout) if m)[1]

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.terminate()
        code = self.process.wait()
        self.process.stdout.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
