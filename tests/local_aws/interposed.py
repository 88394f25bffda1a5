"""Stands between the function and the local AWS: a CloudWatch that throttles when told to, and tags
for EC2, which MiniStack lacks. Everything else passes through unchanged."""

import http.client
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import cbor2

# The part of a service's own calls that is refused while it throttles.
REFUSED = 0.6


class Interposed:
    def __init__(self, endpoint, names, seed):
        self.target = urlsplit(endpoint)
        self.names = names
        self.random = random.Random(seed)
        self.throttles = False
        self.refused = 0
        self.passed = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.headers.get("X-Amz-Target", "").startswith("ResourceGroupsTaggingAPI"):
            return self.reply(request, 200, "application/x-amz-json-1.1",
                              json.dumps(self.resources(json.loads(body))).encode())
        if self.throttles and self.random.random() < REFUSED:
            self.refused += 1
            refusal = cbor2.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
            return self.reply(request, 400, "application/cbor", refusal,
                              {"smithy-protocol": "rpc-v2-cbor"})
        self.passed += 1
        connection = http.client.HTTPConnection(self.target.hostname, self.target.port, timeout=60)
        try:
            connection.request("POST", request.path, body, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
            kept = {name: value for name, value in answer.getheaders()
                    if name.lower() not in ("content-length", "transfer-encoding", "connection",
                                            "content-type")}
            self.reply(request, answer.status, answer.getheader("Content-Type", ""), content, kept)
        finally:
            connection.close()

    def resources(self, asked):
        """GetResources: the tag Name of each instance."""
        wanted = asked.get("ResourceARNList")
        mappings = []
        for instance, name in self.names.items():
            arn = f"arn:aws:ec2:us-east-1:000000000000:instance/{instance}"
            if wanted is None or arn in wanted:
                mappings.append({"ResourceARN": arn, "Tags": [{"Key": "Name", "Value": name}]})
        return {"PaginationToken": "", "ResourceTagMappingList": mappings}

    @staticmethod
    def reply(request, status, kind, content, headers=()):
        request.send_response(status)
        for name, value in dict(headers).items():
            request.send_header(name, value)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def close(self):
        self.server.shutdown()
