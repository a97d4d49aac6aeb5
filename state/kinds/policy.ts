import { z } from "zod";
import { Name } from "../names.ts";

/** What the admin says of a policy (contract §6.4). */
export const Policy = z.object({
  policyName: Name.describe("Name of the policy, unique in its tenant."),
  tenantName: Name.describe("Tenant that it belongs to."),
});
export type Policy = z.infer<typeof Policy>;

/** What the store keeps of a policy. */
export const PolicyRecord = z.object({ key: z.string(), config: Policy });
export type PolicyRecord = Readonly<z.infer<typeof PolicyRecord>>;
