"""Small servers and clients, as Python texts that run in the namespaces of world.py."""

# Answers every connection and datagram on those ports, of both families, with its name and the peer's address.
ECHO = """
import select, socket, sys
name, ports = sys.argv[1], [int(word) for word in sys.argv[2].split(",")]
address = sys.argv[3] if len(sys.argv) > 3 else "::"
sockets = []
for port in ports:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        sockets.append(s)
print("ready")
while True:
    for s in select.select(sockets, [], [])[0]:
        if s.type == socket.SOCK_STREAM:
            peer, who = s.accept()
            peer.sendall(f"{name} {who[0]}".encode())
            peer.close()
        else:
            data, who = s.recvfrom(70000)
            s.sendto(f"{name} {who[0]} {len(data)}".encode(), who)
"""

# What answers there: its words, "refused" or "silent".
ASK = """
import socket, sys
kind, address, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[5]))
try:
    s.connect((address, port))
    if kind == "udp":
        s.send(b"x" * size)
    print(s.recv(65536).decode())
except ConnectionRefusedError:
    print("refused")
except (TimeoutError, OSError) as error:
    print("silent", error)
"""

# Tries TCP ports "FIRST-LAST" or "PORT", separated by commas, of an address: those that answer, and how many were silent.
SCAN = """
import select, socket, sys
address, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
ports = [port for item in sys.argv[2].split(",") for port in range(int(item.split("-")[0]), int(item.split("-")[-1]) + 1)]
found, silent = [], 0
for at in range(0, len(ports), 500):
    poll, tried = select.poll(), {}
    for port in ports[at:at + 500]:
        s = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if s.connect_ex((address, port)) == 0:
            found.append(port)
            s.close()
            continue
        tried[s.fileno()] = s, port
        poll.register(s, select.POLLOUT)
    while tried and (ready := poll.poll(20000)):
        for fd, _ in ready:
            s, port = tried.pop(fd)
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(port)
            poll.unregister(fd)
            s.close()
    silent += len(tried)
print(*sorted(found), "silent", silent)
"""

# Sends so many bytes over TCP, gets them back and compares: two processes, "serve PORT" and "ask ADDRESS PORT BYTES".
# With "one-way" behind that, for both, only their digest comes back.
BULK = """
import hashlib, socket, sys, threading
def answer(data):
    return hashlib.sha256(data).digest() if sys.argv[-1] == "one-way" else data
if sys.argv[1] == "serve":
    listener = socket.create_server(("::", int(sys.argv[2])), family=socket.AF_INET6, dualstack_ipv6=True)
    print("ready")
    while True:
        peer = listener.accept()[0]
        data = bytearray()
        while chunk := peer.recv(65536):
            data += chunk
        peer.sendall(answer(data))
        peer.close()
data = hashlib.shake_128(b"casement").digest(int(sys.argv[4]))
peer = socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=25)
sender = threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)))
sender.start()
back = bytearray()
while chunk := peer.recv(65536):
    back += chunk
sender.join()
print("same" if back == answer(data) else f"{len(back)} bytes that differ")
"""

# A name server that knows every name: 192.0.2.N, where N is the length of the question. With "silent" it only listens.
NAMES = """
import select, socket, struct, sys
def answer(q):
    end = q.index(b"\\0", 12) + 5
    head = q[:2] + b"\\x81\\x80" + q[4:6] + b"\\0\\1\\0\\0\\0\\0"
    return head + q[12:end] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2" + bytes([end])
address = sys.argv[1]
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((address, 53))
t = socket.create_server((address, 53))
print("ready")
while True:
    for s in select.select([u, t], [], [])[0]:
        if s is u:
            q, who = u.recvfrom(4096)
            if sys.argv[2] == "answers":
                print("asked from port", who[1], "id", q[:2].hex(), file=sys.stderr, flush=True)
                u.sendto(answer(q), who)
        else:
            peer = t.accept()[0]
            size, = struct.unpack(">H", peer.recv(2))
            a = answer(peer.recv(size))
            peer.sendall(struct.pack(">H", len(a)) + a)
            peer.close()
"""

# Asks a name server for a name, by "udp" or "tcp": the address, or "failure".
LOOK_UP = """
import socket, struct, sys
kind, address, name = sys.argv[1:4]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
q = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + labels + b"\\0\\0\\1\\0\\1"
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.settimeout(20)
s.connect((address, 53))
if kind == "udp":
    s.send(q)
    a = s.recv(4096)
else:
    s.sendall(struct.pack(">H", len(q)) + q)
    size, = struct.unpack(">H", s.recv(2))
    a = s.recv(size)
assert a[:2] == q[:2], a
print("failure" if a[3] & 15 else socket.inet_ntoa(a[-4:]))
"""

# A DHCPv6 client: solicits, requests, puts the address on eth0 and prints address and name server.
DHCP6 = """
import socket, struct, subprocess, time
index = socket.if_nametoindex("eth0")
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 546, 0, index))
s.settimeout(1)
def option(code, data): return struct.pack(">HH", code, len(data)) + data
def options(data):
    found = {}
    while data:
        code, length = struct.unpack(">HH", data[:4])
        found[code] = data[4:4 + length]
        data = data[4 + length:]
    return found
mine = option(1, bytes.fromhex("00030001525400010203")) + option(3, struct.pack(">III", 7, 0, 0))
def ask(kind, more=b""):
    for _ in range(20):
        try:
            s.sendto(bytes([kind]) + b"abc" + mine + more, ("ff02::1:2", 547, 0, index))
            answer = s.recv(2000)
        except OSError:
            time.sleep(0.2)
            continue
        assert answer[1:4] == b"abc"
        return answer[0], options(answer[4:])
    raise SystemExit("no answer")
kind, offer = ask(1)
assert kind == 2, kind
kind, given = ask(3, option(2, offer[2]))
assert kind == 7 and given[1] == bytes.fromhex("00030001525400010203")
address = socket.inet_ntop(socket.AF_INET6, options(given[3][12:])[5][:16])
subprocess.run(["ip", "addr", "add", address + "/128", "dev", "eth0", "nodad"], check=True)
print(address, socket.inet_ntop(socket.AF_INET6, given[23]))
"""
