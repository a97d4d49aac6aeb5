import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeAnswer, encodeFrame, FRAME_LIMITS, parseAnswer, parseFrame } from "./protocol.ts";

const variableName = fc.stringMatching(/^CNI_[A-Z0-9_]{0,20}$/);
const variableValue = fc.string({ unit: "binary" }).map((text) => text.replaceAll("\0", ""));

describe("frames", () => {
  it("come back as they went", () => {
    fc.assert(
      fc.property(fc.dictionary(variableName, variableValue), fc.uint8Array({ maxLength: 500 }), (env, stdin) => {
        const frame = parseFrame(encodeFrame(Object.entries(env), stdin));
        expect(Object.fromEntries(frame.env)).toEqual({ ...env });
        expect(Buffer.compare(frame.stdin, Buffer.from(stdin))).toBe(0);
      }),
    );
  });

  it("are parsed or refused with a CNI error, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parseFrame(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ name: "NetError", reason: expect.stringMatching(/^cni\//) });
        }
      }),
      { numRuns: 500 },
    );
  });

  it("take the first of two variables with one name, as getenv does", () => {
    const bytes = Buffer.from("CNI_A=1\0CNI_A=2\0\0{}");
    expect(parseFrame(bytes).env.get("CNI_A")).toBe("1");
  });

  it("may have no variables, and empty values", () => {
    expect(parseFrame(Buffer.from("\0x"))).toEqual({ env: new Map(), stdin: Buffer.from("x") });
    expect(parseFrame(Buffer.from("CNI_ARGS=\0\0")).env.get("CNI_ARGS")).toBe("");
  });

  it.each([
    ["no end of variables", "CNI_A=1\0", "cni/undecodable"],
    ["nothing", "", "cni/undecodable"],
    ["HTTP", "GET / HTTP/1.1\r\n\r\n", "cni/undecodable"],
    ["no equals sign", "CNI_A\0\0", "cni/undecodable"],
    ["another variable", "PATH=/bin\0\0", "cni/undecodable"],
    ["bytes that are no UTF-8", Buffer.from("CNI_A=\xff\0\0", "latin1"), "cni/invalid-environment"],
  ])("with %s are refused", (_, bytes, reason) => {
    expect(() => parseFrame(Buffer.from(bytes))).toThrow(expect.objectContaining({ reason }));
  });

  it("keep to their limits, exactly", () => {
    const variable = (bytes: number): Buffer => Buffer.from(`CNI_A=${"x".repeat(bytes - 7)}\0\0`);
    const stdin = (bytes: number): Buffer => Buffer.concat([Buffer.from("\0"), Buffer.alloc(bytes)]);
    expect(parseFrame(variable(FRAME_LIMITS.envBytes)).env.size).toBe(1);
    expect(parseFrame(stdin(FRAME_LIMITS.stdinBytes)).stdin.length).toBe(1_048_576);
    expect(() => parseFrame(variable(FRAME_LIMITS.envBytes + 1))).toThrow(/131072 bytes; shorten CNI_ARGS/);
    expect(() => parseFrame(stdin(FRAME_LIMITS.stdinBytes + 1))).toThrow(/1048576 bytes; make it smaller/);
  });
});

describe("answers", () => {
  it("come back as they went", () => {
    expect(parseAnswer(encodeAnswer({ exitStatus: 1, body: '{"ü":1}' }))).toEqual({ exitStatus: 1, body: '{"ü":1}' });
    expect(encodeAnswer({ exitStatus: 0, body: "" })).toEqual(Buffer.from([0]));
  });

  it("of no bytes are none", () => {
    expect(() => parseAnswer(Buffer.alloc(0))).toThrow(/without an answer/);
  });
});
