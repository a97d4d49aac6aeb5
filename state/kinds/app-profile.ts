import { z } from "zod";
import { Name } from "../names.ts";

/** What the admin says of an application profile (contract §6.10). */
export const AppProfile = z.object({
  appProfileName: Name,
  tenantName: Name,
  endpointGroups: z.array(Name).max(1_000).default([]),
});
export type AppProfile = z.infer<typeof AppProfile>;

/** What the store keeps of an application profile. */
export const AppProfileRecord = z.object({ key: z.string(), config: AppProfile });
export type AppProfileRecord = Readonly<z.infer<typeof AppProfileRecord>>;
