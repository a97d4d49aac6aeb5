import { describe, expect, it } from "vitest";
import { Rule } from "../../state/kinds/rule.ts";
import { applyChanges, emptyView } from "../view/cluster-view.ts";
import { upsertRule } from "./rule.ts";

const POLICY = { key: "t1:p1", config: { tenantName: "t1", policyName: "p1" } };
const VIEW = applyChanges(
  emptyView(),
  [{ kind: "policy", key: POLICY.key, record: POLICY, previous: undefined, modRevision: 1n }],
  1n,
);

function outcome(members: object): string {
  const named = { tenantName: "t1", policyName: "p1", ruleId: "r1", direction: "in", action: "deny" };
  const rule = Rule.safeParse({ ...named, ...members });
  if (!rule.success) return `schema ${rule.error.issues[0]?.path.join(".")}`;
  try {
    return upsertRule(VIEW, rule.data).puts.length === 1 ? "stored" : "nothing";
  } catch (error) {
    return (error as { field?: string }).field ?? String(error);
  }
}

describe("ports of a rule", () => {
  it.each([
    [{ protocol: "tcp", port: 80 }, "stored"],
    [{ protocol: "tcp", port: 80, portEnd: 80 }, "stored"],
    [{ protocol: "udp", port: 80, portEnd: 90 }, "stored"],
    [{ protocol: "17", ports: [53, 5_353] }, "stored"],
    [{ protocol: "tcp", port: 80, portEnd: 79 }, "portEnd"],
    [{ protocol: "tcp", portEnd: 80 }, "portEnd"],
    [{ protocol: "tcp", port: 80, ports: [81] }, "ports"],
    [{ protocol: "icmp", ports: [81] }, "ports"],
    [{ protocol: "", port: 80 }, "port"],
    [{ protocol: "tcp", ports: [] }, "schema ports"],
    [{ protocol: "tcp", ports: [0] }, "schema ports.0"],
    [{ protocol: "tcp", ports: Array.from({ length: 65 }, (_, index) => index + 1) }, "schema ports"],
    [{ protocol: "tcp", port: 80, portEnd: 65_536 }, "schema portEnd"],
  ])("%j → %s", (members, expected) => expect(outcome(members)).toBe(expected));

  it("stay out of what v1 clients see unless they are given", () => {
    const { puts } = upsertRule(
      VIEW,
      Rule.parse({ tenantName: "t1", policyName: "p1", ruleId: "r", direction: "in", action: "deny" }),
    );
    expect(Object.keys(puts[0]?.record ?? {})).toEqual(["key", "config"]);
    expect(JSON.stringify(puts)).not.toMatch(/portEnd|"ports"/);
  });
});
