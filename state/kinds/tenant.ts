import { z } from "zod";
import { TenantId } from "../ids.ts";
import { Name, OptionalName } from "../names.ts";

/** What the admin says of a tenant (contract §6.1). */
export const Tenant = z.object({ tenantName: Name, defaultNetwork: OptionalName });
export type Tenant = z.infer<typeof Tenant>;

/** What the store keeps of a tenant. */
export const TenantRecord = z.object({ key: z.string(), tenantId: TenantId, config: Tenant });
export type TenantRecord = Readonly<z.infer<typeof TenantRecord>>;
