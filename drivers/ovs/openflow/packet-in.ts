import type { Limit } from "../../../state/waiting/limit.ts";
import { NX_VENDOR } from "./action-wire.ts";
import { getU32, putU32, remaining } from "./bytes.ts";
import type { Channel } from "./channel.ts";
import { tell } from "./exchange.ts";
import { type Message, OFPT } from "./message.ts";
import type { PacketIn } from "./packet.ts";
import { getPacketIn, NXT, PACKET_IN2_FORMAT, putExperimenter } from "./packet-codec.ts";
import { tellConfig } from "./switch-config.ts";

/** OFPCML_NO_BUFFER (openflow-1.2.h): whole packets. */
const WHOLE_PACKETS = 0xffff;

/**
 * Adds a listener. The switch sends packets over a management connection only after it was told a miss_send_len
 * (connmgr.c, ofconn_receives_async_msg), and with userdata only in Nicira's second format.
 */
export async function listenToPackets(
  channel: Channel,
  listener: (packet: PacketIn) => void,
  limit: Limit,
): Promise<() => void> {
  channel.packetListeners.add(listener);
  channel.onUnasked = (message) => receivePacket(channel, message);
  const stop = () => {
    channel.packetListeners.delete(listener);
  };
  try {
    await tell(
      channel,
      OFPT.experimenter,
      (writer) => {
        putExperimenter(writer, NXT.setPacketInFormat);
        putU32(writer, PACKET_IN2_FORMAT);
      },
      limit,
    );
    await tellConfig(channel, { missSendLength: WHOLE_PACKETS }, limit);
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}

/** A listener that throws is a defect of the program: it surfaces there, not as a fault of the switch. */
function receivePacket(channel: Channel, { type, body }: Message): void {
  if (type !== OFPT.experimenter || remaining(body) < 8) return;
  if (getU32(body) !== NX_VENDOR || getU32(body) !== NXT.packetIn2) return;
  const packet = getPacketIn(body);
  for (const listener of channel.packetListeners) queueMicrotask(() => listener(packet));
}
