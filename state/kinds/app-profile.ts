import { z } from "zod";
import { Name } from "../names.ts";

/** What the admin says of an application profile (contract §6.10). */
export const AppProfile = z.object({
  appProfileName: Name.describe("Name of the application profile, unique in its tenant."),
  tenantName: Name.describe("Tenant that it belongs to."),
  endpointGroups: z
    .array(Name)
    .max(1_000)
    .default([])
    .describe("Names of its endpoint groups, of the same tenant; a name that stands twice is kept once."),
});
export type AppProfile = z.infer<typeof AppProfile>;

/** What the store keeps of an application profile. */
export const AppProfileRecord = z.object({ key: z.string(), config: AppProfile });
export type AppProfileRecord = Readonly<z.infer<typeof AppProfileRecord>>;
