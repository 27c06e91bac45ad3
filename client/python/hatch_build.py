"""Puts the contract into what is built: the .proto files into an sdist, their descriptors into a
wheel. Neither is committed here; a checkout has the contract in ../../proto.
"""
from __future__ import annotations

import os
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTOS = ("longspan/v1/encoder.proto", "grpc/health/v1/health.proto")
# What errors carry in their details. It comes from googleapis-common-protos.
DETAILS = "google/rpc/error_details.proto"
DESCRIPTORS = "longspan/_proto/descriptors.binpb"


class ContractHook(BuildHookInterface):  # type: ignore[type-arg]
    def _protos(self) -> str:
        for folder in ("proto", os.path.join("..", "..", "proto")):
            path = os.path.join(self.root, folder)
            if os.path.isfile(os.path.join(path, PROTOS[0])):
                return path
        raise FileNotFoundError(f"{PROTOS[0]} is neither in the sdist nor in ../../proto of a checkout")

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "sdist":
            for proto in PROTOS:
                build_data["force_include"][os.path.join(self._protos(), proto)] = f"proto/{proto}"
            return
        if version == "editable":  # is imported from the checkout, so they must lie there
            made = os.path.join(self.root, "src", DESCRIPTORS)
            os.makedirs(os.path.dirname(made), exist_ok=True)
            self._compile(made)
            return
        self._folder = tempfile.TemporaryDirectory()
        made = os.path.join(self._folder.name, "descriptors.binpb")
        self._compile(made)
        build_data["force_include"][made] = DESCRIPTORS

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _compile(self, out: str) -> None:
        import grpc_tools
        from grpc_tools import protoc

        includes = (self._protos(), sysconfig.get_path("purelib"), os.path.join(os.path.dirname(grpc_tools.__file__), "_proto"))
        # Build isolation may put the packages elsewhere than purelib.
        import google.rpc.status_pb2 as status

        includes += (os.path.dirname(os.path.dirname(os.path.dirname(status.__file__))),)
        arguments = ["protoc", *(f"-I{path}" for path in includes), "--include_imports", f"--descriptor_set_out={out}", *PROTOS, DETAILS]
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc could not read the contract; its message stands above")
