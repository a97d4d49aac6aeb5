"""Runs programs for a test: to fork a small process takes a millisecond, a large Node.js ten times that.

Requests are lines of JSON on standard input, answers lines on standard output in the order in which programs end. Its programs end
with it, and it ends with its standard input.
"""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

MOST_AT_ONCE = 1_000
running = set()
lock = threading.Lock()


def launch(request):
    stdin = request["stdin"].encode()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        child = subprocess.Popen(request["argv"], env=request["env"], **pipes)
    except OSError as error:
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
