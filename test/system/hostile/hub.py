"""Sends and listens in many network namespaces at once, for as long as it lives.

hub.py TAG [pod|node|wire:NAME:NETNS:DEVICE]...

pod    raw frames that come in at the device, whomever they are for, and UDP sockets of both families on PORTS
node   the kernel's stack: raw IP sockets, which get what the stack delivers locally, whatever the port
wire   only sends

A frame that is looked for holds TAG and six digits. Reports, one line of JSON each: {"ready": true}; {"heard": [NAME, HOW, NUMBER]},
HOW is "wire", "socket" or "stack", each only once; {"mac": [NAME, MAC]} for each source address that frames come with;
{"sent": N} after {"send": [[NAME, FRAME in hexadecimal], ...], "id": N}.
"""
import collections
import ctypes
import json
import os
import re
import selectors
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
PORTS = [53, 67, 80, 81, 546, 4789]
RAW4 = [socket.IPPROTO_ICMP, socket.IPPROTO_IGMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, 47, 253]
RAW6 = [socket.IPPROTO_ICMPV6, socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, 47, 253]
BURST_FRAMES = 20
BURST_PAUSE_S = 0.005
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 8 << 20

tag = sys.argv[1].encode()
mark = re.compile(re.escape(tag) + rb"(\d{6})")
libc = ctypes.CDLL(None, use_errno=True)
selector = selectors.DefaultSelector()
senders = {}
known = set()
commands = collections.deque()
unfinished = b""


def enter(netns):
    handle = os.open("/run/netns/" + netns, os.O_RDONLY)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns " + netns)
    os.close(handle)


def say(report):
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def once(kind, *report):
    if (kind, *report) not in known:
        known.add((kind, *report))
        say({kind: report})


def hear(name, how, data):
    for number in mark.findall(data):
        once("heard", name, how, int(number))


def listen(ear, handler):
    ear.setblocking(False)
    ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    selector.register(ear, selectors.EVENT_READ, handler)


def on_wire(name):
    def handler(ear):
        frame, address = ear.recvfrom(65535)
        if address[2] == PACKET_OUTGOING:
            return
        hear(name, "wire", frame)
        once("mac", name, frame[6:12].hex(":"))

    return handler


def on_socket(name, how):
    return lambda ear: hear(name, how, ear.recv(65535))


def open_raw(device):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.bind((device, 0))
    membership = struct.pack("@iHH8s", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0, b"")
    raw.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    return raw


def open_pod(name, device):
    senders[name] = open_raw(device)
    listen(senders[name], on_wire(name))
    for port in PORTS:
        datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagrams.bind(("::", port))
        listen(datagrams, on_socket(name, "socket"))


def open_node(name, _device):
    for family, protocols in ((socket.AF_INET, RAW4), (socket.AF_INET6, RAW6)):
        for protocol in protocols:
            listen(socket.socket(family, socket.SOCK_RAW, protocol), on_socket(name, "stack"))


def open_wire(name, device):
    senders[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    senders[name].bind((device, 0))


OPEN = {"pod": open_pod, "node": open_node, "wire": open_wire}


def take_in(wait_s):
    until = None if wait_s is None else time.monotonic() + wait_s
    ready = selector.select(wait_s)
    while ready:
        for key, _ in ready:
            try:
                key.data(key.fileobj)
            except OSError:
                pass  # nothing there any more, or an ICMP error for the socket
        if until is None or time.monotonic() >= until:
            return
        ready = selector.select(until - time.monotonic())


def send(frames):
    for index, (name, frame) in enumerate(frames):
        senders[name].send(bytes.fromhex(frame))
        if index % BURST_FRAMES == BURST_FRAMES - 1:
            take_in(BURST_PAUSE_S)


def read_commands(_):
    """Commands wait until one is done: they come back in their order."""
    global unfinished
    data = os.read(0, 1 << 20)
    if not data:
        sys.exit()
    *lines, unfinished = (unfinished + data).split(b"\n")
    commands.extend(json.loads(line) for line in lines)


for argument in sys.argv[2:]:
    kind, name, netns, device = argument.split(":")
    enter(netns)
    OPEN[kind](name, device)
selector.register(0, selectors.EVENT_READ, read_commands)
say({"ready": True})
while True:
    take_in(None)
    while commands:
        command = commands.popleft()
        send(command["send"])
        say({"sent": command["id"]})
