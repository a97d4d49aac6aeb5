import { type PodLimits, RateLimit, type StatedLimits } from "../../state/bandwidth/limits.ts";
import { parseBandwidthQuantity } from "../../state/bandwidth/quantity.ts";
import { cniFault } from "../cni/errors.ts";
import { EGRESS_ANNOTATION, INGRESS_ANNOTATION } from "../cni/own-names.ts";
import type { AddRequest } from "../cni/request.ts";
import type { BandwidthLimit } from "../cni/runtime-config.ts";

/** Annotations are about the pod, and here about its first interface. */
const ANNOTATED_INTERFACE = "eth0";

type Limiting = Pick<AddRequest, "ifName" | "bandwidth" | "annotations" | "podAnnotations">;

/** What runtime and annotations say of an interface's bandwidth. @throws NetError with CNI code 7 that names the member */
export function statedLimits(request: Limiting): Pick<StatedLimits, "runtime" | "annotation"> {
  const runtime = limitsOf((direction) => runtimeLimit(request, direction));
  const annotation = limitsOf((direction) => annotatedLimit(request, direction));
  return { ...(runtime && { runtime }), ...(annotation && { annotation }) };
}

type Direction = keyof PodLimits;

function limitsOf(find: (direction: Direction) => RateLimit | undefined): PodLimits | undefined {
  const [podIngress, podEgress] = [find("podIngress"), find("podEgress")];
  if (podIngress === undefined && podEgress === undefined) return undefined;
  return { ...(podIngress && { podIngress }), ...(podEgress && { podEgress }) };
}

function runtimeLimit({ bandwidth }: Limiting, direction: Direction): RateLimit | undefined {
  const limit = bandwidth[direction];
  return limit && checkedRuntimeLimit(limit, direction === "podIngress" ? "ingressRate" : "egressRate");
}

function checkedRuntimeLimit({ rateBitPerSecond, burstBits }: BandwidthLimit, member: string): RateLimit {
  const parsed = RateLimit.safeParse({ rateBitPerSecond, ...(burstBits === undefined ? {} : { burstBits }) });
  if (parsed.success) return parsed.data;
  const field = `runtimeConfig.bandwidth.${member}`;
  throw cniFault("invalid-config", `"${field}" must be 1000 to 10^15 bit/s, not ${rateBitPerSecond}`, { field });
}

/** Capabilities count before `args` (CONVENTIONS.md). */
function annotatedLimit(request: Limiting, direction: Direction): RateLimit | undefined {
  if (request.ifName !== ANNOTATED_INTERFACE) return undefined;
  const name = direction === "podIngress" ? INGRESS_ANNOTATION : EGRESS_ANNOTATION;
  const text = request.podAnnotations.get(name) ?? request.annotations.get(name);
  if (text === undefined) return undefined;
  const rateBitPerSecond = parseBandwidthQuantity(text);
  if (typeof rateBitPerSecond === "number") return { rateBitPerSecond };
  throw cniFault("invalid-config", `annotation ${name} ${rateBitPerSecond}; correct or remove it`, { field: name });
}
