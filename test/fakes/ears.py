"""What a kernel's own stack takes in, as raw IP sockets get it: one packet a line, its link and its bytes in hexadecimal, until killed.

Multicast groups are joined on every link, as daemons do. Packets that the stack drops before it delivers them locally are not heard.
"""
import select
import socket
import struct

IP_PKTINFO = 8
GROUPS4 = ["224.0.0.251", "239.1.2.3"]
GROUPS6 = ["ff02::fb", "ff02::1:2"]
PROTOCOLS4 = [socket.IPPROTO_ICMP, socket.IPPROTO_IGMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, 47]
PROTOCOLS6 = [socket.IPPROTO_ICMPV6, socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, 47]


def ear(family, protocol, level, option):
    raw = socket.socket(family, socket.SOCK_RAW, protocol)
    raw.setsockopt(level, option, 1)
    return raw


def join(raw, level, option, request):
    try:
        raw.setsockopt(level, option, request)
    except OSError:
        pass  # a link without this family


ears = [ear(socket.AF_INET, one, socket.IPPROTO_IP, IP_PKTINFO) for one in PROTOCOLS4]
ears += [ear(socket.AF_INET6, one, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) for one in PROTOCOLS6]
joiner4 = ears[3]
joiner6 = ears[len(PROTOCOLS4) + 2]
members = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
for index, _name in socket.if_nameindex():
    for group in GROUPS4:
        request = socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + struct.pack("@i", index)
        join(members[index % len(members)], socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    for group in GROUPS6:
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@i", index)
        join(joiner6, socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
print("ready", flush=True)
while True:
    for readable in select.select(ears, [], [])[0]:
        data, ancillary, _flags, _address = readable.recvmsg(65535, 256)
        link = 0
        for level, _kind, value in ancillary:
            link = struct.unpack("@i", value[:4] if level == socket.IPPROTO_IP else value[16:20])[0]
        print(link, data.hex(), flush=True)
