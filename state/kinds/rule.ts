import { z } from "zod";
import { Name, OptionalName } from "../names.ts";
import { parseRuleAddress } from "../rule-address.ts";
import { checkedText } from "../text-check.ts";

/** Most ports that one rule can list. */
export const RULE_PORTS_MAX = 64;

const Port = z.int().min(1).max(65_535);

const RuleAddress = checkedText(64, (text) => text === "" || parseRuleAddress(text)).default("");

/**
 * What the admin says of a policy rule (contract §6.5). `port` 0 and empty strings mean "any". Beyond the contract: `portEnd` makes
 * `port` the first of a range, `ports` lists several ports instead of one; action `log` decides nothing, what it matches is told in the
 * node's log.
 */
export const Rule = z.object({
  tenantName: Name.describe("Tenant of the policy."),
  policyName: Name.describe("Policy that it belongs to."),
  ruleId: Name.describe("Name of the rule, unique in its policy."),
  direction: z
    .enum(["in", "out"])
    .describe(
      "in: what endpoints of the policy's groups receive. out: what they send. Replies to what is allowed always pass.",
    ),
  action: z
    .enum(["allow", "deny", "log"])
    .describe(
      "allow, deny, or log: the connections that it matches are written to the node's log, and other rules decide.",
    ),
  priority: z
    .int()
    .min(0)
    .max(100)
    .default(1)
    .describe(
      "0-100; 0 is 1. Of the rules that match, the one with the highest priority decides; of equal ones deny. Where none matches, " +
        "traffic is allowed.",
    ),
  protocol: z
    .string()
    .regex(/^(tcp|udp|icmp||[0-9]{1,3})$/, "must be tcp, udp, icmp or a number from 0 to 255")
    .refine((text) => !/^[0-9]+$/.test(text) || Number(text) <= 255, "must be at most 255")
    .default("")
    .describe("tcp, udp, icmp or an IP protocol number; empty: any."),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(0)
    .describe("Destination port, 1-65535, with tcp and udp; the first of a range when portEnd is given; 0: any."),
  portEnd: Port.optional().describe("Last port of the range that begins with port; absent: port alone."),
  ports: z
    .array(Port)
    .min(1)
    .max(RULE_PORTS_MAX)
    .optional()
    .describe("Destination ports, in place of port, 1 to 64 of them; absent: port says."),
  fromEndpointGroup: OptionalName.describe("With in: group of the sender, of the same tenant; empty: any."),
  toEndpointGroup: OptionalName.describe("With out: group of the receiver, of the same tenant; empty: any."),
  fromNetwork: OptionalName.describe("With in: network of the sender, of the same tenant; empty: any."),
  toNetwork: OptionalName.describe("With out: network of the receiver, of the same tenant; empty: any."),
  fromIpAddress: RuleAddress.describe(
    'With in: addresses of the sender, like "10.1.1.1", "10.1.1.1-9", "10.1.1.0/24", "2001:db8::/64"; empty: any.',
  ),
  toIpAddress: RuleAddress.describe(
    "With out: addresses of the receiver. With in: the one endpoint's own address that the rule is for. Empty: any.",
  ),
});
export type Rule = z.infer<typeof Rule>;

/** What the store keeps of a rule. */
export const RuleRecord = z.object({ key: z.string(), config: Rule });
export type RuleRecord = Readonly<z.infer<typeof RuleRecord>>;
