import { sameTbf, type TbfParameters } from "../../netlink/tbf.ts";
import type { Policing } from "../types.ts";

/** What one port carries beside its meter: the shapers of its ends, and what the kernel polices. */
export interface PortState {
  /** Root of the near end: towards the pod. */
  readonly near: TbfParameters | undefined;
  /** Root of the pod's end in the patch panel: from the pod. */
  readonly far: TbfParameters | undefined;
  /** Root of the ifb that the near end's traffic is redirected to. */
  readonly ifb: TbfParameters | undefined;
  readonly policing: Policing | undefined;
  /** Kinds of qdiscs that somebody else has set at the roots of near and far end; absent when there is none, as it should be. */
  readonly foreign?: { readonly near?: string; readonly far?: string };
}

export const BARE_PORT: PortState = { near: undefined, far: undefined, ifb: undefined, policing: undefined };

export function samePolicing(left: Policing | undefined, right: Policing | undefined): boolean {
  return left?.rateKbitPerSecond === right?.rateKbitPerSecond && left?.burstKbit === right?.burstKbit;
}

/** True when a port in the one state is as the other one wants it, as far as the kernel's clock can tell. */
export function samePortState(left: PortState, right: PortState): boolean {
  return (
    isSameTbf(left.near, right.near) &&
    isSameTbf(left.far, right.far) &&
    isSameTbf(left.ifb, right.ifb) &&
    left.foreign?.near === right.foreign?.near &&
    left.foreign?.far === right.foreign?.far &&
    samePolicing(left.policing, right.policing)
  );
}

export function isSameTbf(left: TbfParameters | undefined, right: TbfParameters | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return sameTbf(left, right);
}

export function isBare(state: PortState): boolean {
  return samePortState(state, BARE_PORT);
}
