import type { NetnsHandle } from "../../drivers/netlink/netns.ts";
import { probeSwitch, type SwitchCapabilities, type SwitchProbe } from "../../drivers/ovs/switch-capabilities.ts";
import { type KernelCapabilities, probeKernel } from "../../drivers/tc/kernel-capabilities.ts";

/** What this node's kernel and switch can do. */
export type Capabilities = KernelCapabilities & SwitchCapabilities;

export interface CapabilityProbe extends SwitchProbe {
  /** Where the scratch links come and go; this process's own by default. */
  readonly netns?: NetnsHandle;
}

/** Probes the kernel, then the switch. */
export async function probeCapabilities({ netns, ...ofSwitch }: CapabilityProbe): Promise<Capabilities> {
  return { ...(await probeKernel(netns)), ...(await probeSwitch(ofSwitch)) };
}
