import type { z } from "zod";
import { AddressRecord } from "./kinds/address.ts";
import { AppProfileRecord } from "./kinds/app-profile.ts";
import { EndpointRecord } from "./kinds/endpoint.ts";
import { EndpointGroupRecord } from "./kinds/endpoint-group.ts";
import { GlobalRecord } from "./kinds/global.ts";
import { NetprofileRecord } from "./kinds/netprofile.ts";
import { NetworkRecord } from "./kinds/network.ts";
import { NodeRecord } from "./kinds/node.ts";
import { PolicyRecord } from "./kinds/policy.ts";
import { RuleRecord } from "./kinds/rule.ts";
import { TenantRecord } from "./kinds/tenant.ts";

/** Every kind that the store keeps and the watch streams carry, with its schema. */
export const RECORDS = {
  global: GlobalRecord,
  tenant: TenantRecord,
  network: NetworkRecord,
  endpointGroup: EndpointGroupRecord,
  policy: PolicyRecord,
  rule: RuleRecord,
  netprofile: NetprofileRecord,
  appProfile: AppProfileRecord,
  endpoint: EndpointRecord,
  address: AddressRecord,
  node: NodeRecord,
} as const;

export type Kind = keyof typeof RECORDS;
export const KINDS = Object.keys(RECORDS) as readonly Kind[];

/** The stored form of one kind. */
export type RecordOf<K extends Kind> = Readonly<z.infer<(typeof RECORDS)[K]>>;
