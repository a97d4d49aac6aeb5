import { closeSync, openSync, readdirSync } from "node:fs";
import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import * as libc from "./libc.ts";

const { EBADF, EAGAIN, ENOENT, ENOTTY, EINVAL, EPERM } = constants.errno;

/** RTM_GETLINK of `lo` with sequence 7: works without any privilege. */
function getLoopback(): Buffer {
  const message = Buffer.alloc(32);
  message.writeUInt32LE(32, 0);
  message.writeUInt16LE(18, 4);
  message.writeUInt16LE(1, 6);
  message.writeUInt32LE(7, 8);
  message.writeInt32LE(1, 20);
  return message;
}

function openBound(): number {
  const fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, 0);
  const address = Buffer.alloc(libc.SOCKADDR_NL_BYTES);
  address.writeUInt16LE(libc.AF_NETLINK);
  expect(fd).toBeGreaterThan(2);
  expect(libc.bind(fd, address)).toBe(0);
  return fd;
}

describe("libc", () => {
  it("sends and receives on the calling thread", () => {
    const fd = openBound();
    const inbox = libc.createInbox(32_768);
    expect(libc.receive(fd, inbox, libc.MSG_DONTWAIT)).toBe(-EAGAIN);
    expect(libc.send(fd, getLoopback(), 0)).toBe(32);
    const received = libc.receive(fd, inbox, 0);
    expect(received).toBeGreaterThan(100);
    expect(inbox.data.readUInt32LE(0)).toBe(received);
    expect(inbox.data.readUInt32LE(8)).toBe(7);
    expect(inbox.address.readUInt16LE(0)).toBe(libc.AF_NETLINK);
    expect(inbox.addressLength.readUInt32LE()).toBe(libc.SOCKADDR_NL_BYTES);
    expect(libc.close(fd)).toBe(0);
  });

  it("sends and receives on the pool", async () => {
    const fd = openBound();
    const inbox = libc.createInbox(32_768);
    expect(await libc.sendOnPool(fd, getLoopback(), 0)).toBe(32);
    expect(await libc.receiveOnPool(fd, inbox, 0)).toBeGreaterThan(100);
    expect(inbox.data.readUInt32LE(8)).toBe(7);
    libc.close(fd);
  });

  it("never writes beyond the inbox, and tells the datagram's true length", () => {
    const fd = openBound();
    const around = Buffer.alloc(128, 0xee);
    const inbox = { ...libc.createInbox(0), data: around.subarray(32, 64) };
    libc.send(fd, getLoopback(), 0);
    expect(libc.receive(fd, inbox, libc.MSG_TRUNC)).toBeGreaterThan(100);
    expect(around.subarray(0, 32)).toEqual(Buffer.alloc(32, 0xee));
    expect(around.subarray(64)).toEqual(Buffer.alloc(64, 0xee));
    libc.close(fd);
  });

  it("turns every failure into minus its errno", async () => {
    const inbox = libc.createInbox(64);
    const empty = Buffer.alloc(4);
    expect(libc.socket(libc.AF_NETLINK, libc.SOCK_RAW, 999)).toBeLessThan(0);
    expect(libc.bind(-1, empty)).toBe(-EBADF);
    expect(libc.send(-1, empty, 0)).toBe(-EBADF);
    expect(libc.receive(-1, inbox, 0)).toBe(-EBADF);
    expect(libc.setsockopt(-1, libc.SOL_SOCKET, 20, empty)).toBe(-EBADF);
    expect(libc.setns(-1, libc.CLONE_NEWNET)).toBe(-EBADF);
    expect(libc.close(-1)).toBe(-EBADF);
    expect(libc.namespaceType(-1)).toBe(-EBADF);
    expect(await libc.sendOnPool(-1, empty, 0)).toBe(-EBADF);
    expect(await libc.receiveOnPool(-1, inbox, 0)).toBe(-EBADF);
  });

  it("keeps errnos of concurrent calls apart", async () => {
    const fd = openBound();
    const calls = Array.from({ length: 40 }, (_, n) => libc.sendOnPool(n % 2 ? -1 : fd, getLoopback(), 0));
    const results = await Promise.all(calls);
    expect(results).toEqual(results.map((_, n) => (n % 2 ? -EBADF : 32)));
    libc.close(fd);
  });

  it("sets options", () => {
    const fd = openBound();
    const one = Buffer.from([1, 0, 0, 0]);
    expect(libc.setsockopt(fd, libc.SOL_NETLINK, 11, one)).toBe(0);
    expect(libc.setsockopt(fd, libc.SOL_SOCKET, 20, one)).toBe(-EINVAL);
    libc.close(fd);
  });

  it("recognises namespaces", () => {
    const typeOf = (path: string) => {
      const fd = openSync(path, "r");
      const type = libc.namespaceType(fd);
      closeSync(fd);
      return type;
    };
    expect(typeOf("/proc/self/ns/net")).toBe(libc.CLONE_NEWNET);
    expect(typeOf("/proc/self/ns/uts")).toBe(0x04000000); // CLONE_NEWUTS
    expect(typeOf("/etc/passwd")).toBe(-ENOTTY);
  });

  it("refuses to enter what is no namespace of that type", () => {
    const fd = openSync("/proc/self/ns/uts", "r");
    expect([-EINVAL, -EPERM]).toContain(libc.setns(fd, libc.CLONE_NEWNET));
    closeSync(fd);
  });

  it("mounts nothing from, and takes nothing from, where nothing is", () => {
    const nowhere = "/no such directory/x"; // without privilege the kernel does not even look
    expect([-ENOENT, -EPERM]).toContain(libc.bindMount("/proc/self/ns/net", nowhere));
    expect([-ENOENT, -EPERM]).toContain(libc.detachMount(nowhere));
  });

  it("leaves no descriptor behind", async () => {
    const count = () => readdirSync("/proc/self/fd").length;
    const before = count();
    for (let n = 0; n < 50; n++) libc.close(openBound());
    expect(count()).toBeLessThanOrEqual(before);
  });
});
