import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { createInbox } from "./libc.ts";
import { encodeBatch } from "./message.ts";
import { messagesOf } from "./transport.ts";

function inboxFrom(senderPort: number, dataBytes = 64) {
  const inbox = createInbox(dataBytes);
  encodeBatch([{ deed: "test", type: 16, flags: 0, body: Buffer.alloc(16) }], 7).copy(inbox.data);
  inbox.address.writeUInt32LE(senderPort, 4);
  return inbox;
}

describe("what a socket received", () => {
  it("is the kernel's messages", () => {
    expect(messagesOf(inboxFrom(0), 32)).toMatchObject([{ type: 16, sequence: 7 }]);
  });

  it("is nothing when another process sent it", () => {
    expect(messagesOf(inboxFrom(4_711), 32)).toEqual([]);
  });

  it("is PROTOCOL when it was longer than the room", () => {
    expect(() => messagesOf(inboxFrom(0), 65)).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });

  it("may be the loss of messages", () => {
    expect(() => messagesOf(inboxFrom(0), -constants.errno.ENOBUFS)).toThrow(
      expect.objectContaining({ code: "UNAVAILABLE", reason: "ENOBUFS", message: expect.stringContaining("lost") }),
    );
  });
});
