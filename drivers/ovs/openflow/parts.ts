import type { Part } from "./exchange.ts";
import type { Flow } from "./flow.ts";
import { getFlowStats, putFlowFilter } from "./flow-codec.ts";
import { type FlowCount, getFlowCount } from "./flow-count.ts";
import type { FlowFilter, FlowStats } from "./flow-mod.ts";
import type { Group, GroupStats } from "./group.ts";
import { getGroup, getGroupStats, putGroupRequest } from "./group-codec.ts";
import type { Meter, MeterFeatures, MeterStats } from "./meter.ts";
import { getMeter, getMeterFeatures, getMeterStats, putMeterRequest } from "./meter-codec.ts";
import { type PackedFlow, packFlow } from "./packed-flow.ts";
import type { PortDescription, PortStats } from "./port.ts";
import { getPortDescription, getPortStats, putPortRequest } from "./port-codec.ts";
import { getTableCount, type TableCount } from "./table-count.ts";
import type { Port } from "./values.ts";

/** openflow-1.5.1 specification, 7.3.5 (enum ofp_multipart_type). */
const OFPMP = {
  flowDesc: 1,
  table: 3,
  portStats: 4,
  groupStats: 6,
  groupDesc: 7,
  meterStats: 9,
  meterDesc: 10,
  meterFeatures: 11,
  portDesc: 13,
} as const;

export function flowsPart(filter: FlowFilter): Part<Flow> {
  return {
    type: OFPMP.flowDesc,
    putBody: (writer) => putFlowFilter(writer, filter),
    getEntry: (reader) => getFlowStats(reader).flow,
  };
}

/** Flows in the form in which thousands of them can be kept and compared. */
export function packedFlowsPart(filter: FlowFilter): Part<PackedFlow> {
  return { ...flowsPart(filter), getEntry: (reader) => packFlow(getFlowStats(reader).flow, true) };
}

export function flowStatsPart(filter: FlowFilter): Part<FlowStats> {
  return { type: OFPMP.flowDesc, putBody: (writer) => putFlowFilter(writer, filter), getEntry: getFlowStats };
}

export function flowCountsPart(filter: FlowFilter): Part<FlowCount | undefined> {
  return { type: OFPMP.flowDesc, putBody: (writer) => putFlowFilter(writer, filter), getEntry: getFlowCount };
}

export function tableCountsPart(): Part<TableCount> {
  return { type: OFPMP.table, getEntry: getTableCount };
}

export function groupsPart(): Part<Group> {
  return { type: OFPMP.groupDesc, putBody: (writer) => putGroupRequest(writer, undefined), getEntry: getGroup };
}

export function groupStatsPart(group: number | undefined): Part<GroupStats> {
  return { type: OFPMP.groupStats, putBody: (writer) => putGroupRequest(writer, group), getEntry: getGroupStats };
}

export function metersPart(): Part<Meter> {
  return { type: OFPMP.meterDesc, putBody: (writer) => putMeterRequest(writer, undefined), getEntry: getMeter };
}

export function meterStatsPart(meter: number | undefined): Part<MeterStats> {
  return { type: OFPMP.meterStats, putBody: (writer) => putMeterRequest(writer, meter), getEntry: getMeterStats };
}

export function meterFeaturesPart(): Part<MeterFeatures> {
  return { type: OFPMP.meterFeatures, getEntry: getMeterFeatures };
}

export function portsPart(port: Port | undefined): Part<PortDescription> {
  return { type: OFPMP.portDesc, putBody: (writer) => putPortRequest(writer, port), getEntry: getPortDescription };
}

export function portStatsPart(port: Port | undefined): Part<PortStats> {
  return { type: OFPMP.portStats, putBody: (writer) => putPortRequest(writer, port), getEntry: getPortStats };
}
