import { putU16 } from "./bytes.ts";
import type { Channel } from "./channel.ts";
import { tell } from "./exchange.ts";
import type { Limit } from "./limit.ts";
import { OFPT } from "./message.ts";

/**
 * What flows see in IP fragments. `normal`: no ports in any. `nx-match`: the first one shows the ports, or the ICMP type, of its packet,
 * later ones show zeros (ovs-ofctl(8), set-frags; openflow-common.h and nicira-ext.h, OFPC_FRAG_*).
 */
export type FragmentHandling = "normal" | "nx-match";

const FLAGS: Readonly<Record<FragmentHandling, number>> = { normal: 0, "nx-match": 3 };

/** How the bridge shows fragments to flows, from now on and for all its controllers. */
export async function setFragmentHandling(channel: Channel, handling: FragmentHandling, limit: Limit): Promise<void> {
  await tellConfig(channel, { flags: FLAGS[handling] }, limit);
}

/** Changes one half of the configuration and repeats the other. */
export async function tellConfig(channel: Channel, change: Partial<Channel["config"]>, limit: Limit): Promise<void> {
  const config = Object.assign(channel.config, change);
  const put = (writer: Parameters<typeof putU16>[0]) => {
    putU16(writer, config.flags);
    putU16(writer, config.missSendLength);
  };
  await tell(channel, OFPT.setConfig, put, limit);
}
