"""A line server on Python's socketserver.TCPServer as it is by default, without SO_REUSEADDR; argument: PORT."""

from __future__ import annotations

import socketserver
import sys


class Hello(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"hello from python, " + self.rfile.readline())


with socketserver.TCPServer(("", int(sys.argv[1])), Hello) as server:
    server.serve_forever()
