import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { decodeActions } from "./action-decode.ts";
import { type Reader, readerOf } from "./bytes.ts";
import { getSwitchError } from "./error-codec.ts";
import { getFlowStats } from "./flow-codec.ts";
import { createFrames, nextMessage, pushChunk } from "./framing.ts";
import { getGroup, getGroupStats } from "./group-codec.ts";
import { getMatchFields } from "./match-codec.ts";
import { getMeter, getMeterFeatures, getMeterStats } from "./meter-codec.ts";
import { packFlow } from "./packed-flow.ts";
import { getPacketIn } from "./packet-codec.ts";
import { getPortDescription, getPortStats } from "./port-codec.ts";
import { anyFlow } from "./testing/flow-arbitrary.ts";
import { flowEntry } from "./testing/flow-entry.ts";
import { formatFlow } from "./text.ts";

const DECODERS: Readonly<Record<string, (reader: Reader) => unknown>> = {
  flow: getFlowStats,
  match: getMatchFields,
  actions: ({ buffer }) => decodeActions(buffer),
  group: getGroup,
  "group counters": getGroupStats,
  meter: getMeter,
  "meter counters": getMeterStats,
  "meter features": getMeterFeatures,
  port: getPortDescription,
  "port counters": getPortStats,
  "packet-in": getPacketIn,
  error: getSwitchError,
};

/** The value, or undefined when the bytes were refused as they should be. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    expect(error).toBeInstanceOf(NetError);
    expect((error as NetError).code).toBe("PROTOCOL");
    return undefined;
  }
}

/** Bytes in which small numbers, the stuff of lengths and types, are frequent. */
const bytes = fc
  .array(fc.oneof(fc.constantFrom(0, 1, 4, 8, 16, 24, 32, 0xff, 0x80, 0x23, 0x20, 35, 36, 42), fc.nat(255)), {
    maxLength: 200,
  })
  .map((array) => Buffer.from(array));

/** A real flow entry with a few bytes changed, or cut. */
const damaged = fc
  .tuple(anyFlow, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([flow, changes, isCut]) => {
    const entry = flowEntry(flow);
    for (const [at, byte] of changes) entry[at % entry.length] = byte;
    return isCut ? entry.subarray(0, (changes[0]?.[0] ?? 0) % entry.length) : entry;
  });

describe("bytes that are not the protocol", () => {
  it.each(Object.keys(DECODERS))("are refused or read by the decoder of: %s", (name) => {
    const decode = DECODERS[name] as (reader: Reader) => unknown;
    fc.assert(
      fc.property(bytes, (input) => {
        attempt(() => decode(readerOf(input)));
      }),
      { numRuns: 2000 },
    );
  });

  it("never make a flow that cannot be compared, shown or removed", () => {
    fc.assert(
      fc.property(damaged, (input) => {
        const stats = attempt(() => getFlowStats(readerOf(input)));
        if (stats === undefined) return;
        const again = flowEntry(stats.flow);
        expect(packFlow(getFlowStats(readerOf(again)).flow, true).key).toBe(packFlow(stats.flow, true).key);
        expect(formatFlow(stats.flow)).toContain("actions=");
      }),
      { numRuns: 5000 },
    );
  });

  it("end in messages of sound length or in none", () => {
    fc.assert(
      fc.property(fc.array(bytes), (chunks) => {
        const frames = createFrames();
        for (const chunk of chunks) pushChunk(frames, chunk);
        attempt(() => {
          let message = nextMessage(frames);
          while (message !== undefined) {
            expect(message.body.end).toBeGreaterThanOrEqual(message.body.offset);
            message = nextMessage(frames);
          }
        });
      }),
    );
  });
});
