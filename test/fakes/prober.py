"""Asks and answers for one pod, for as long as it lives: commands on standard input, reports on standard output, each a line of JSON.

prober.py PORT...    answers TCP and UDP on these ports, in both families; says {"ready": true}

{"ask": [[ID, "tcp"|"udp", HOST, PORT], ...], "source": "fresh"|"kept"}
    One packet (or connection) each, all at once, that carries its ID. Answers {"answered": [ID, ...]}, again and again, as they come.
    "kept": UDP from the same port as ever, so that the switch takes it for a connection that it knows.
{"end": true}
    Gives up what is unanswered, and answers {"heard": [ID, ...]}: what others' questions this pod has got since the last end.
{"watch": NAME, "protocol": "tcp"|"udp"|"icmp", "host": HOST, "port": PORT, "intervalMs": N}
    A question every N ms. Answers {"watch": NAME, "sentNs": N, "passed": true|false} of each, in their order; false when there is no
    answer after UNANSWERED_S. Times are of the monotonic clock.
{"unwatch": NAME}
"""
import collections
import itertools
import json
import os
import selectors
import socket
import struct
import sys
import time

UNANSWERED_S = 0.25
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST, and no port waits for stray packets
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "icmp": socket.SOCK_RAW}
ICMP_PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
IPV4_HEADER_BYTES = 20

selector = selectors.DefaultSelector()
heard = []
answered = []
questions = {}  # socket -> ID; closed when it is answered
kept = {}  # family -> UDP socket
watches = {}


def say(report):
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def listen(socket_, handler):
    socket_.setblocking(False)
    selector.register(socket_, selectors.EVENT_READ, handler)


def close(socket_):
    if socket_.fileno() < 0:
        return
    selector.unregister(socket_)
    socket_.close()


# Answering


def serve(port):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    listen(listener, accept)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind(("::", port))
    listen(datagrams, echo_datagram)


def accept(listener, _):
    try:
        stream = listener.accept()[0]
    except OSError:
        return
    listen(stream, echo_stream)


def echo_stream(stream, _):
    try:
        data = stream.recv(65535)
        if data:
            heard.extend(data.decode().split())
            stream.send(data)
            return
    except OSError:
        pass
    close(stream)


def echo_datagram(datagrams, _):
    try:
        while True:
            data, address = datagrams.recvfrom(65535)
            heard.append(data.decode())
            datagrams.sendto(data, address)
    except OSError:
        pass


# Asking


def family_of(host):
    return 6 if ":" in host else 4


def open_question(id_, protocol, host, port):
    """A socket that has sent the ID, or will once it is connected; None when it cannot even send."""
    family = family_of(host)
    asker = socket.socket(FAMILIES[family], KINDS[protocol], ICMP_PROTOCOL[family] if protocol == "icmp" else 0)
    asker.setblocking(False)
    if protocol == "tcp":
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    try:
        asker.connect((host, port))
        asker.send(echo_request(family, id_) if protocol == "icmp" else id_.encode())
    except BlockingIOError:
        pass
    except OSError:
        asker.close()
        return None
    waits_for = selectors.EVENT_WRITE if protocol == "tcp" else selectors.EVENT_READ
    selector.register(asker, waits_for, proceed_echo if protocol == "icmp" else proceed)
    return asker


def echo_request(family, id_):
    packet = struct.pack("!BBHHH", ECHO_REQUEST[family], 0, 0, os.getpid() & 0xFFFF, 0) + id_.encode()
    if family == 6:
        return packet  # the kernel fills in the checksum
    padded = packet + b"\0" * (len(packet) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    total = (total >> 16) + (total & 0xFFFF)
    return packet[:2] + struct.pack("!H", total ^ 0xFFFF) + packet[4:]


def proceed_echo(asker, _):
    """Each of these sockets gets all ICMP messages of its peer."""
    id_ = questions.get(asker)
    try:
        data = asker.recv(65535)
    except OSError:
        return
    family = 4 if asker.family == socket.AF_INET else 6
    message = data[IPV4_HEADER_BYTES:] if family == 4 else data
    if message[0] == ECHO_REPLY[family] and message[8:].decode(errors="replace") == id_:
        settle(id_)
        del questions[asker]
        close(asker)


def proceed(asker, events):
    """A connection stands, or an answer has come."""
    id_ = questions.get(asker)
    try:
        if events & selectors.EVENT_WRITE:
            asker.send(id_.encode())
            selector.modify(asker, selectors.EVENT_READ, proceed)
            return
        if asker.recv(65535).decode() == id_:
            settle(id_)
    except OSError:
        pass
    questions.pop(asker, None)
    close(asker)


def settle(id_):
    name, _, number = id_.rpartition("#")
    if name in watches:
        watches[name].settle(int(number))
    else:
        answered.append(id_)


def ask(all_, source):
    for id_, protocol, host, port in all_:
        if protocol == "udp" and source == "kept":
            try:
                kept[family_of(host)].sendto(id_.encode(), (host, port))
            except OSError:
                pass
            continue
        asker = open_question(id_, protocol, host, port)
        if asker is not None:
            questions[asker] = id_


def keep_socket(family):
    socket_ = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
    socket_.bind(("::" if family == 6 else "0.0.0.0", 0))
    kept[family] = socket_
    listen(socket_, take_kept)


def take_kept(socket_, _):
    try:
        while True:
            answered.append(socket_.recv(65535).decode())
    except OSError:
        pass


def end():
    for asker in list(questions):
        name = questions[asker].rpartition("#")[0]
        if name not in watches:
            del questions[asker]
            close(asker)
    say({"heard": list(heard)})
    heard.clear()


class Watch:
    """Questions at regular times, told in their order once it is known whether they were answered."""

    def __init__(self, watch, protocol, host, port, intervalMs):
        self.name, self.protocol, self.host, self.port = watch, protocol, host, port
        self.interval_s = intervalMs / 1000
        self.due_s = time.monotonic()
        self.numbers = itertools.count()
        self.pending = collections.OrderedDict()  # number -> [sent_ns, socket, passed]

    def look(self):
        now_s = time.monotonic()
        if now_s >= self.due_s:
            self.send()
            self.due_s = max(self.due_s + self.interval_s, now_s)
        while self.pending:
            number, (sent_ns, asker, passed) = next(iter(self.pending.items()))
            if not passed and now_s < sent_ns / 1e9 + UNANSWERED_S:
                return
            del self.pending[number]
            if asker is not None and asker in questions:
                del questions[asker]
                close(asker)
            say({"watch": self.name, "sentNs": sent_ns, "passed": passed})

    def send(self):
        number = next(self.numbers)
        id_ = f"{self.name}#{number}"
        sent_ns = time.monotonic_ns()
        asker = open_question(id_, self.protocol, self.host, self.port)
        if asker is not None:
            questions[asker] = id_
        self.pending[number] = [sent_ns, asker, False]

    def settle(self, number):
        if number in self.pending:
            self.pending[number][2] = True


# Commands


def obey(line):
    command = json.loads(line)
    if "ask" in command:
        ask(command["ask"], command["source"])
    elif "watch" in command:
        watches[command["watch"]] = Watch(**command)
    elif "unwatch" in command:
        watches.pop(command["unwatch"])
    else:
        end()


unfinished = b""


def read_commands(_, __):
    global unfinished
    data = os.read(0, 1 << 20)
    if not data:
        sys.exit()
    *lines, unfinished = (unfinished + data).split(b"\n")
    for line in lines:
        obey(line)


for port in sys.argv[1:]:
    serve(int(port))
for family in FAMILIES:
    keep_socket(family)
selector.register(0, selectors.EVENT_READ, read_commands)
say({"ready": True})
while True:
    wait_s = min((each.due_s for each in watches.values()), default=None)
    for key, events in selector.select(None if wait_s is None else max(0, wait_s - time.monotonic())):
        if key.fileobj == 0 or key.fileobj.fileno() >= 0:
            key.data(key.fileobj, events)
    for each in list(watches.values()):
        each.look()
    if answered:
        say({"answered": answered})
        answered.clear()
