"""TCP connections that carry checked bytes in both directions at once: each end sends the numbers from 0, 8 bytes each, in order.

stream.py serve PORT       takes connections until it is killed; says {"ready": true}
stream.py connect HOST PORT

Every REPORT_INTERVAL_S each connection is told of: {"peer": ADDRESS, "received": N, "wrong": N, "lastNs": N, "ended": null|TEXT}, with the
count of numbers received, of those that were not the next one, and when the last one came (monotonic clock).
"""
import json
import select
import socket
import struct
import sys
import time

SEND_INTERVAL_S = 0.005
NUMBERS_PER_SEND = 8
REPORT_INTERVAL_S = 0.02
QUEUE_MAX_BYTES = 1 << 16


class Stream:
    def __init__(self, socket_, peer):
        self.socket, self.peer = socket_, peer
        socket_.setblocking(False)
        self.sent, self.pending = 0, b""
        self.received, self.wrong, self.rest, self.last_ns = 0, 0, b"", time.monotonic_ns()
        self.ended = None

    def send(self):
        if len(self.pending) < QUEUE_MAX_BYTES:
            numbers = range(self.sent, self.sent + NUMBERS_PER_SEND)
            self.pending += struct.pack(f"!{NUMBERS_PER_SEND}Q", *numbers)
            self.sent += NUMBERS_PER_SEND
        try:
            self.pending = self.pending[self.socket.send(self.pending):]
        except BlockingIOError:
            pass
        except OSError as error:
            self.end(error)

    def receive(self):
        try:
            data = self.socket.recv(1 << 16)
        except OSError as error:
            self.end(error)
            return
        if not data:
            self.end("closed")
            return
        self.last_ns = time.monotonic_ns()
        data = self.rest + data
        whole = len(data) // 8
        for number in struct.unpack(f"!{whole}Q", data[:whole * 8]):
            self.wrong += number != self.received
            self.received += 1
        self.rest = data[whole * 8:]

    def end(self, why):
        self.ended = str(why)
        self.socket.close()

    def report(self):
        told = {"peer": self.peer, "received": self.received, "wrong": self.wrong, "lastNs": self.last_ns, "ended": self.ended}
        print(json.dumps(told), flush=True)


streams, listener = [], None
if sys.argv[1] == "serve":
    listener = socket.create_server(("::", int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True)
    print(json.dumps({"ready": True}), flush=True)
else:
    host, port = sys.argv[2:]
    streams.append(Stream(socket.create_connection((host, int(port)), timeout=10), host))
send_at = report_at = time.monotonic()
while True:
    live = [each for each in streams if each.ended is None]
    sources = [each.socket for each in live] + ([listener] if listener else [])
    readable = select.select(sources, [], [], max(0, send_at - time.monotonic()))[0]
    if listener in readable:
        socket_, address = listener.accept()
        streams.append(Stream(socket_, address[0].removeprefix("::ffff:")))
    for each in live:
        if each.socket in readable:
            each.receive()
    now = time.monotonic()
    if now >= send_at:
        for each in live:
            if each.ended is None:
                each.send()
        send_at = now + SEND_INTERVAL_S
    if now >= report_at:
        for each in streams:
            each.report()
        report_at = now + REPORT_INTERVAL_S
