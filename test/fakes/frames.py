"""Raw Ethernet frames for tests, in hexadecimal, one a line: `frames.py send DEV < frames` or `frames.py sniff DEV` (until killed)."""
import socket
import sys

ETH_P_ALL = 3
PACKET_OUTGOING = 4

mode, device = sys.argv[1:3]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
raw.bind((device, 0))
if mode == "send":
    for line in sys.stdin:
        raw.send(bytes.fromhex(line))
else:
    print("ready", flush=True)
    while True:
        frame, address = raw.recvfrom(65535)
        if address[2] != PACKET_OUTGOING:
            print(frame.hex(), flush=True)
