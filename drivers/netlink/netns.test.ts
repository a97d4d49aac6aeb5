import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openNetns, sameNetns } from "./netns.ts";

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "netns-test-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("openNetns", () => {
  it("knows a namespace by whatever path it is opened", () => {
    const link = join(directory, "link");
    symlinkSync("/proc/self/ns/net", link);
    using a = openNetns("/proc/self/ns/net");
    using b = openNetns("/proc/thread-self/ns/net");
    using c = openNetns(link);
    expect(a.inode).toBeGreaterThan(0);
    expect(sameNetns(a, b) && sameNetns(a, c)).toBe(true);
  });

  it("closes once", () => {
    const handle = openNetns("/proc/self/ns/net");
    handle[Symbol.dispose]();
    using other = openNetns("/proc/self/ns/net"); // gets the number that has just become free
    handle[Symbol.dispose]();
    using third = openNetns("/proc/self/ns/net");
    expect(third.fd).not.toBe(other.fd);
  });

  it.each(["/run/netns/no-such", "/etc/passwd/x", "/proc/999999999/ns/net", `/${"x".repeat(300)}`])(
    "says that %s does not exist",
    (path) => {
      expect(() => openNetns(path)).toThrow(
        expect.objectContaining({ code: "NOT_FOUND", message: `Cannot open network namespace ${path}: no such path` }),
      );
    },
  );

  it.each([
    ["/etc/passwd", "a regular file"],
    ["/proc/self/ns/uts", "a UTS namespace"],
    ["/proc/self/ns/mnt", "a mount namespace"],
    ["/proc/self/ns/pid_for_children", "a PID namespace"],
    ["/dev/null", "a device"],
    ["/tmp", "a directory"],
  ])("says that %s is %s", (path, what) => {
    expect(() => openNetns(path)).toThrow(
      expect.objectContaining({
        code: "INVALID",
        reason: "not-a-netns",
        message: `Cannot open network namespace ${path}: it is ${what}, not a network namespace`,
      }),
    );
  });

  it("refuses the file that an unmounted namespace leaves, and does not hang on a pipe", () => {
    const left = join(directory, "left");
    writeFileSync(left, "");
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect(() => openNetns(left)).toThrow(/an empty file with no namespace mounted on it, not a network namespace/);
    expect(() => openNetns(pipe)).toThrow(/a named pipe, not a network namespace/);
    expect(() => openNetns("a\0b")).toThrow(/Cannot open network namespace/);
  });
});
