"""Sockets for tests, in either family.

talk.py serve PORT...             echoes TCP and UDP on these ports until killed; says "ready"
talk.py ask tcp|udp HOST PORT [SIZE]   sends SIZE bytes once; says "echo", "refused" or "silent"
talk.py keep HOST PORT            one TCP connection, a number every 10 ms; says each number that comes back
talk.py pour PORT...              answers each UDP datagram with numbers, one every 10 ms, without end; says "ready"
talk.py drink HOST PORT           one UDP datagram, then silence; says each number that comes
"""
import select
import socket
import sys
import time

ANSWER_TIMEOUT_S = 1.0
KEEP_INTERVAL_S = 0.01


def serve(ports):
    listeners, datagrams, streams = [], [], []
    for port in ports:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        datagram.bind(("::", port))
        listeners.append(listener)
        datagrams.append(datagram)
    print("ready", flush=True)
    while True:
        for readable in select.select(listeners + datagrams + streams, [], [])[0]:
            if readable in listeners:
                streams.append(readable.accept()[0])
            elif readable in datagrams:
                data, address = readable.recvfrom(65535)
                readable.sendto(data, address)
            else:
                try:
                    data = readable.recv(65535)
                    readable.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    streams.remove(readable)
                    readable.close()


def ask(protocol, host, port, size):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as asker:
        asker.settimeout(ANSWER_TIMEOUT_S)
        try:
            asker.connect((host, port))
            asker.sendall(b"x" * size)
            received = 0
            while received < size:
                data = asker.recv(65535)
                if not data:
                    return "refused"
                received += len(data)
            return "echo"
        except ConnectionRefusedError:
            return "refused"
        except (TimeoutError, OSError):
            return "silent"


def keep(host, port):
    with socket.create_connection((host, port), timeout=5) as stream:
        stream.setblocking(False)
        rest, number = b"", 0
        pending = b""
        while True:
            number += 1
            pending += b"%d\n" % number
            try:
                pending = pending[stream.send(pending):]
            except BlockingIOError:
                pass
            until = time.monotonic() + KEEP_INTERVAL_S
            while (left := until - time.monotonic()) > 0:
                if select.select([stream], [], [], left)[0]:
                    *lines, rest = (rest + stream.recv(65535)).split(b"\n")
                    for line in lines:
                        print(line.decode(), flush=True)


def pour(ports):
    sockets = []
    for port in ports:
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagram.bind(("", port))
        sockets.append(datagram)
    print("ready", flush=True)
    drinkers, number = set(), 0
    while True:
        for readable in select.select(sockets, [], [], KEEP_INTERVAL_S)[0]:
            drinkers.add((readable, readable.recvfrom(65535)[1]))
        number += 1
        for datagram, address in drinkers:
            try:
                datagram.sendto(b"%d\n" % number, address)
            except OSError:
                pass  # the drinker has gone


def drink(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.connect((host, port))
        datagram.send(b"please")
        while True:
            print(datagram.recv(65535).decode().strip(), flush=True)


command, *rest = sys.argv[1:]
if command == "serve":
    serve([int(port) for port in rest])
elif command == "ask":
    protocol, host, port, *size = rest
    print(ask(protocol, host, int(port), int(size[0]) if size else 5))
elif command == "pour":
    pour([int(port) for port in rest])
elif command == "drink":
    drink(rest[0], int(rest[1]))
else:
    keep(rest[0], int(rest[1]))
