"""The JSON routes that the page calls, on top of gRPC, for a server whose HTTP port does not have
them yet. Everything else is passed on to that port.

    bridge.py SOURCE_DIR HTTP_ADDRESS GRPC_ADDRESS

Prints its address. Runs with the Python of tests/clients/python, which has grpcio-tools.
"""
import http.client
import importlib
import json
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
from google.protobuf import json_format
from grpc_tools import protoc

SOURCE, HTTP, GRPC = sys.argv[1:4]
STATUS = {"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401, "RESOURCE_EXHAUSTED": 429,
          "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}


def stubs(folder):
    site = Path(importlib.import_module("google.rpc.status_pb2").__file__).parents[2]
    own = Path(importlib.import_module("grpc_tools").__file__).parent / "_proto"
    assert protoc.main(["protoc", f"-I{SOURCE}/proto", f"-I{site}", f"-I{own}", f"--python_out={folder}", f"--grpc_python_out={folder}",
                        "longspan/v1/encoder.proto"]) == 0
    sys.path.insert(0, folder)
    return importlib.import_module("longspan.v1.encoder_pb2"), importlib.import_module("longspan.v1.encoder_pb2_grpc")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, headers, body):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        if code != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def call(self, method, request):
        key = self.headers.get("Authorization")
        try:
            answer = method(request, timeout=600, metadata=[("authorization", key)] if key else [])
        except grpc.RpcError as error:
            code = STATUS.get(error.code().name, 500)
            said = {"error": {"message": error.details(), "type": "server_error" if code >= 500 else "invalid_request_error", "code": error.code().name.lower()}}
            self.answer(code, [("Content-Type", "application/json")], json.dumps(said).encode())
            return
        said = json_format.MessageToJson(answer, indent=None, always_print_fields_with_no_presence=True)
        self.answer(200, [("Content-Type", "application/json")], said.encode())

    def do_GET(self):
        if self.path == "/model":
            self.call(RPC.GetModelInfo, PB.GetModelInfoRequest())
            return
        connection = http.client.HTTPConnection(HTTP)
        connection.request("GET", self.path, headers={k: v for k, v in self.headers.items() if k in ("If-None-Match", "Authorization")})
        answer = connection.getresponse()
        kept = [(k, v) for k, v in answer.getheaders() if k not in ("Content-Length", "Date", "Connection", "Transfer-Encoding")]
        self.answer(answer.status, kept, answer.read())
        connection.close()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/encode", self.path
        self.call(RPC.Encode, json_format.Parse(body, PB.EncodeRequest()))


with tempfile.TemporaryDirectory() as made:
    PB, SERVICE = stubs(made)
RPC = SERVICE.EncoderServiceStub(grpc.insecure_channel(GRPC, options=[("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1),
                                                                      ("grpc.max_send_message_length", -1)]))
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
