import { describe, expect, it } from "vitest";
import { unknownReference } from "../../netmaster/intents/errors.ts";
import { NetError } from "../../state/errors.ts";
import { cniErrorOf } from "../cni/errors.ts";
import { inWordsOfPod } from "./lease-request.ts";

const CONTEXT = { cniVersion: "1.0.0", command: "ADD" };
const EITHER = "create it, or set the label to one that exists";

describe("what netmaster finds wrong with a lease", () => {
  it.each([
    ["tenantName", "tenant", "t9", "label io.contiv.tenant: tenant t9"],
    ["networkName", "network", "t1:back", "label io.contiv.network: network t1:back"],
    ["groupName", "endpoint group", "t1:web", "label io.contiv.net-group: endpoint group t1:web"],
  ])("a %s that is not there: one sentence, with both ways out, and no further advice", (field, what, key, subject) => {
    const refusal = { cniVersion: "1.0.0", code: 7, msg: `${subject} does not exist; ${EITHER}` };
    expect(cniErrorOf(inWordsOfPod(unknownReference(field, what, key)), CONTEXT)).toEqual(refusal);
  });

  it("anything else keeps its text, and has the usual advice", () => {
    const error = new NetError("INVALID", "networkName is too long", { field: "networkName", reason: "invalid-field" });
    expect(cniErrorOf(inWordsOfPod(error), CONTEXT)).toMatchObject({
      msg: "label io.contiv.network is too long",
      details: "correct the pod's labels or the network configuration",
    });
    const held = new NetError("IN_USE", "no", { blockers: ["a"] });
    expect(inWordsOfPod(held)).toBe(held);
  });
});
