import { connect, type Socket } from "node:net";
import { asNetError, NetError } from "../../../state/errors.ts";
import { type Limit, waitFor } from "../../../state/waiting/limit.ts";
import { getU16, getU32, nested, putU16, putU32, type Reader, remaining, skip, type Writer } from "./bytes.ts";
import { type Channel, closedError, post, takeXids } from "./channel.ts";
import type { SwitchError } from "./error-codec.ts";
import { type Message, OFP_VERSION, OFPT } from "./message.ts";

/** openflow-common.h, OFPHET_VERSIONBITMAP. */
const VERSION_BITMAP = 1;

/** Connects to a unix socket. */
export function openSocket(path: string, limit: Limit): Promise<Socket> {
  const socket = connect(path);
  return waitFor<Socket>(limit, (done, fail) => {
    const onConnect = () => done(socket);
    const onError = (error: Error) => fail(asNetError(error, limit.doing, "UNAVAILABLE"));
    socket.once("connect", onConnect);
    socket.once("error", onError);
    return () => {
      socket.off("connect", onConnect);
      socket.off("error", onError);
    };
  }).catch((error: unknown) => {
    socket.on("error", () => {}); // a late failure of what is given up
    socket.destroy();
    throw error;
  });
}

/** openflow-common.h, struct ofp_hello_elem_header: this library speaks one version. */
export function putHello(writer: Writer): void {
  putU16(writer, VERSION_BITMAP);
  putU16(writer, 8);
  putU32(writer, 1 << OFP_VERSION);
}

/** Exchanges hellos; UNSUPPORTED when the switch does not speak our version. */
export async function shakeHands(channel: Channel, limit: Limit): Promise<void> {
  await waitFor<void>(limit, (done, fail) => {
    channel.onUnasked = (message) => {
      if (message.type !== OFPT.hello) return;
      if (offers(message)) done();
      else fail(unsupported(channel, `it offers other versions only (up to ${message.version})`));
    };
    const onError = (_xid: number, { name, text }: SwitchError) => fail(unsupported(channel, `${name} ${text}`));
    const range = { firstXid: 0, lastXid: 0xffffffff, onError };
    channel.errorRanges.add(range);
    void channel.closed.then(() => fail(closedError(channel)));
    post(channel, OFPT.hello, takeXids(channel, 1), putHello);
    return () => {
      channel.errorRanges.delete(range);
      channel.onUnasked = () => {};
    };
  });
}

function unsupported(channel: Channel, details: string): NetError {
  return new NetError(
    "UNSUPPORTED",
    `Cannot speak OpenFlow 1.5 with ${channel.name}: ${details}; add OpenFlow15 to the bridge's "protocols", or empty that column`,
  );
}

/** Without a bitmap the header's version is the highest, and all below it count as offered. */
function offers({ version, body }: Message): boolean {
  const bitmap = versionBitmap(body);
  return bitmap === undefined ? version >= OFP_VERSION : (bitmap & (1 << OFP_VERSION)) !== 0;
}

function versionBitmap(body: Reader): number | undefined {
  while (remaining(body) >= 4) {
    const type = getU16(body);
    const length = getU16(body);
    if (type === VERSION_BITMAP && length >= 8) return getU32(nested(body, 4));
    skip(body, Math.min(Math.max(Math.ceil(length / 8) * 8 - 4, 0), remaining(body)));
  }
  return undefined;
}
