import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { probeSwitch, type SwitchProbe } from "./switch-capabilities.ts";

function probe(answer: () => Promise<void>) {
  const connection = { meterFeatures: async () => ({ maxMeters: 0 }), bundle: answer };
  return probeSwitch({ connection: connection as unknown as SwitchProbe["connection"], cookie: 1n });
}

describe("a switch's capabilities", () => {
  it("include conntrack when it takes the flow, and do not when it refuses it", async () => {
    expect(await probe(async () => {})).toEqual({ meters: false, conntrack: true });
    const refused = async () => {
      throw new NetError("REJECTED", "OFPBAC_BAD_TYPE");
    };
    expect(await probe(refused)).toEqual({ meters: false, conntrack: false });
  });

  it.each(["UNAVAILABLE", "CLOSED", "TIMEOUT"] as const)("are not known when the connection ends: %s", async (code) => {
    const ended = async () => {
      throw new NetError(code, "ended");
    };
    await expect(probe(ended)).rejects.toMatchObject({ code });
  });
});
