import { z } from "zod";
import { CEILING_MEMBERS } from "../bandwidth/ceiling.ts";
import { TenantId } from "../ids.ts";
import { Name, OptionalName } from "../names.ts";

/** What the admin says of a tenant (contract §6.1); the ceilings are this release's own. */
export const Tenant = z.object({
  tenantName: Name.describe("Name of the tenant."),
  defaultNetwork: OptionalName.describe("Name of a network that is remembered and has no effect; empty: none."),
  ...CEILING_MEMBERS,
});
export type Tenant = z.infer<typeof Tenant>;

/** What the store keeps of a tenant. */
export const TenantRecord = z.object({ key: z.string(), tenantId: TenantId, config: Tenant });
export type TenantRecord = Readonly<z.infer<typeof TenantRecord>>;
