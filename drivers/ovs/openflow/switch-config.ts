import type { Limit } from "../../../state/waiting/limit.ts";
import { getU16, putU16 } from "./bytes.ts";
import type { Channel } from "./channel.ts";
import { request, tell } from "./exchange.ts";
import { OFPT } from "./message.ts";

/**
 * What flows see in IP fragments. `normal`: no ports in any. `drop`: no fragments at all. `nx-match`: the first one shows the ports, or the ICMP type, of its packet,
 * later ones show zeros (ovs-ofctl(8), set-frags; openflow-common.h and nicira-ext.h, OFPC_FRAG_*).
 */
export type FragmentHandling = "normal" | "drop" | "reassemble" | "nx-match";

const FLAGS: Readonly<Record<FragmentHandling, number>> = { normal: 0, drop: 1, reassemble: 2, "nx-match": 3 };
const FLAGS_MASK = 3;

/** How the bridge shows fragments to flows, from now on and for all its controllers. */
export async function setFragmentHandling(channel: Channel, handling: FragmentHandling, limit: Limit): Promise<void> {
  await tellConfig(channel, { flags: FLAGS[handling] }, limit);
}

/** How it does so now: any controller may have changed it. */
export async function fragmentHandling(channel: Channel, limit: Limit): Promise<FragmentHandling> {
  const ask = { type: OFPT.getConfigRequest, replyType: OFPT.getConfigReply };
  const flags = getU16((await request(channel, ask, limit)).body) & FLAGS_MASK;
  return (Object.keys(FLAGS) as FragmentHandling[]).find((name) => FLAGS[name] === flags) ?? "normal";
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
