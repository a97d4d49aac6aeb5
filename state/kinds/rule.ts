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
  tenantName: Name,
  policyName: Name,
  ruleId: Name,
  direction: z.enum(["in", "out"]),
  action: z.enum(["allow", "deny", "log"]),
  priority: z.int().min(0).max(100).default(1),
  protocol: z
    .string()
    .regex(/^(tcp|udp|icmp||[0-9]{1,3})$/, "must be tcp, udp, icmp or a number from 0 to 255")
    .refine((text) => !/^[0-9]+$/.test(text) || Number(text) <= 255, "must be at most 255")
    .default(""),
  port: z.int().min(0).max(65_535).default(0),
  portEnd: Port.optional(),
  ports: z.array(Port).min(1).max(RULE_PORTS_MAX).optional(),
  fromEndpointGroup: OptionalName,
  toEndpointGroup: OptionalName,
  fromNetwork: OptionalName,
  toNetwork: OptionalName,
  fromIpAddress: RuleAddress,
  toIpAddress: RuleAddress,
});
export type Rule = z.infer<typeof Rule>;

/** What the store keeps of a rule. */
export const RuleRecord = z.object({ key: z.string(), config: Rule });
export type RuleRecord = Readonly<z.infer<typeof RuleRecord>>;
