"""Runs programs for a test: to fork a small process takes a millisecond, a large Node.js ten times that.

Requests are lines of JSON on standard input, answers lines on standard output in the order in which programs end. Its programs end
with it, and it ends with its standard input. The namespace that `nsenter` would enter is entered here: one program less.
"""

import ctypes
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

MOST_AT_ONCE = 1_000
CLONE_NEWNET = 0x40000000
NSENTER = "nsenter"
NETNS = "--net="
libc = ctypes.CDLL(None, use_errno=True)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
running = set()
lock = threading.Lock()


def enter(netns):
    if libc.setns(netns, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def start(argv, env):
    """A child is in the namespace of the thread that starts it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if argv[0] != NSENTER or not argv[1].startswith(NETNS) or argv[2] != "--":
        return subprocess.Popen(argv, env=env, **pipes)
    netns = os.open(argv[1].removeprefix(NETNS), os.O_RDONLY)
    try:
        enter(netns)
        try:
            return subprocess.Popen(argv[3:], env=env, **pipes)
        finally:
            enter(home)
    finally:
        os.close(netns)


def launch(request):
    argv, stdin = request["argv"], request["stdin"].encode()
    try:
        child = start(argv, request["env"])
    except OSError as error:
        if argv[0] == NSENTER:  # it would be there to say so
            return {"exitCode": 1, "stdout": "", "stderr": f"{NSENTER}: {error}"}
        return {"failure": f"cannot start: {error}"}
    with lock:
        running.add(child)
    is_late = False
    try:
        stdout, stderr = child.communicate(stdin, timeout=request["timeoutMs"] / 1_000)
    except subprocess.TimeoutExpired:
        is_late = True
        child.kill()
        stdout, stderr = child.communicate()
    finally:
        with lock:
            running.discard(child)
    ended = {"stdout": stdout.decode(errors="replace"), "stderr": stderr.decode(errors="replace"), "isLate": is_late}
    if child.returncode < 0:
        return {**ended, "failure": f"ended by signal {-child.returncode}"}
    return {**ended, "exitCode": child.returncode}


def answer(line):
    request = json.loads(line)
    text = json.dumps({"id": request["id"], **launch(request)}) + "\n"
    with lock:
        sys.stdout.write(text)
        sys.stdout.flush()


with ThreadPoolExecutor(MOST_AT_ONCE) as threads:
    for line in sys.stdin:
        threads.submit(answer, line)
    with lock:
        for child in running:
            child.kill()
    os._exit(0)
