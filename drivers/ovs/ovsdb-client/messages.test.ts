import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { parseMessage, refusal } from "./messages.ts";

describe("parseMessage", () => {
  it.each([
    [
      { method: "echo", params: [], id: "echo" },
      { kind: "request", method: "echo", params: [], id: "echo" },
    ],
    [
      { method: "echo", params: [], id: 0 },
      { kind: "request", method: "echo", params: [], id: 0 },
    ],
    [
      { method: "update", params: [1], id: null },
      { kind: "notification", method: "update", params: [1] },
    ],
    [
      { method: "update", params: [1] },
      { kind: "notification", method: "update", params: [1] },
    ],
    [
      { id: 1, result: {}, error: null },
      { kind: "reply", id: 1, result: {} },
    ],
    [
      { id: 1, result: null, error: null },
      { kind: "reply", id: 1, result: null },
    ],
    [
      { id: 1, error: "unknown method" },
      { kind: "refusal", id: 1, error: { error: "unknown method" } },
    ],
    [
      { id: 1, result: null, error: { error: "e", details: "d", syntax: "s" } },
      { kind: "refusal", id: 1, error: { error: "e", details: "d", syntax: "s" } },
    ],
    [
      { id: 1, error: 5 },
      { kind: "refusal", id: 1, error: { error: "5" } },
    ],
  ])("reads %j", (json, message) => {
    expect(parseMessage(json)).toEqual(message);
  });

  it.each([
    [{}],
    [{ id: 1 }],
    [{ id: null, result: {} }],
    [{ result: {}, error: null }],
    [{ method: "echo" }],
    [{ method: 1, params: [] }],
    [[]],
    [null],
    ["x"],
  ])("refuses %j", (json) => {
    expect(() => parseMessage(json)).toThrow(/neither call nor reply/);
  });

  it("gives a message or a NetError for any JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        try {
          parseMessage(json);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(NetError);
        }
      }),
    );
  });
});

describe("refusal", () => {
  it("keeps the server's words and makes its error the reason", () => {
    const error = refusal('"monitor"', { error: "syntax error", details: "duplicate monitor ID", syntax: '"m3"' });
    expect(error).toMatchObject({
      code: "REJECTED",
      reason: "syntax-error",
      message: 'ovsdb-server refused "monitor": syntax error: duplicate monitor ID: in "m3"',
    });
  });

  it("tells an unknown method apart", () => {
    expect(refusal('"steal"', { error: "unknown method" })).toMatchObject({
      code: "UNSUPPORTED",
      reason: "unknown-method",
    });
  });
});
