import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { Epoch } from "../../state/ids.ts";
import type { EndpointRequest } from "../../state/node-api.ts";
import { createNodeClient } from "./node-client.ts";
import type { Transport } from "./transport.ts";

const REQUEST: EndpointRequest = {
  ...{ containerId: "c1", ifName: "eth0", tenantName: "t1", networkName: "net", groupName: "" },
  ...{ podName: "", podNamespace: "", labels: {}, takesAnyKey: true },
};
const REPLY = {
  endpoint: {
    ...{ key: "c1:eth0", epoch: Epoch.parse("abcdefghijklmnop"), endpointId: "c1", containerId: "c1", ifName: "eth0" },
    ...{ nodeName: "n1", tenantName: "t1", networkName: "net", groupName: "", networkId: 1, ipv4: "10.1.0.1" },
    ...{ mac: "02:02:0a:01:00:01", createdAt: "2026-01-01T00:00:00Z" },
  },
  ...{ ipv4: { address: "10.1.0.1/24" }, routes: [], mtuBytes: 1450, revision: "7", objects: [] },
};

/** Answers with these in turn; an error is thrown. */
function scripted(answers: readonly unknown[]): Transport & { readonly calls: string[] } {
  const calls: string[] = [];
  return {
    calls,
    call: async (path) => {
      const answer = answers[calls.length];
      calls.push(path);
      if (answer instanceof Error) throw answer;
      return answer;
    },
    stream: () => Promise.reject(new Error("no stream is scripted")),
    dropStale: () => {},
    [Symbol.dispose]: () => {},
  };
}

const AWAY = new NetError("UNAVAILABLE", "There is no leader at present");

describe("asking for an endpoint", () => {
  it("goes on while there is no leader", async () => {
    const transport = scripted([AWAY, AWAY, REPLY]);
    const reply = await createNodeClient(transport, "n1").createEndpoint(REQUEST, new AbortController().signal);
    expect(reply.endpoint.ipv4).toBe("10.1.0.1");
    expect(transport.calls).toHaveLength(3);
  });

  it("ends with netmaster's own answer, whatever that is", async () => {
    const transport = scripted([new NetError("EXHAUSTED", "No IPv4 address is left")]);
    const asked = createNodeClient(transport, "n1").createEndpoint(REQUEST, new AbortController().signal);
    await expect(asked).rejects.toMatchObject({ code: "EXHAUSTED" });
    expect(transport.calls).toHaveLength(1);
  });

  it("ends with its caller", async () => {
    const caller = new AbortController();
    const transport = scripted(Array.from({ length: 100 }, () => AWAY));
    const asked = createNodeClient(transport, "n1").createEndpoint(REQUEST, caller.signal);
    setTimeout(() => caller.abort(), 20);
    await expect(asked).rejects.toBe(AWAY);
    expect(transport.calls.length).toBeLessThan(4);
  });

  it("of a release is done once: it is made up for later", async () => {
    const transport = scripted([AWAY]);
    const { endpoint } = REPLY;
    const asked = createNodeClient(transport, "n1").releaseEndpoints([endpoint], new AbortController().signal);
    await expect(asked).rejects.toBe(AWAY);
    expect(transport.calls).toHaveLength(1);
  });

  it.each([
    ["one call", { released: true, revision: "7", more: [true, false] }, 1],
    ["a call each, with a netmaster of an earlier release", { released: true, revision: "7" }, 3],
  ])("of several releases is %s", async (_what, answer, calls) => {
    const transport = scripted([answer, answer, answer]);
    const { endpoint } = REPLY;
    const keys = ["a", "b", "c"].map((key) => ({ ...endpoint, key }));
    await createNodeClient(transport, "n1").releaseEndpoints(keys, new AbortController().signal);
    expect(transport.calls).toHaveLength(calls);
  });
});
