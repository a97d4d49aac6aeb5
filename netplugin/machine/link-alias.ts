import { LINK_ALIAS } from "../../drivers/driver.ts";
import { endpointKeyOf } from "../../state/endpoint-key.ts";
import { Epoch } from "../../state/ids.ts";
import { type AttachmentFacts, isOfOtherCall, POD_ROLE } from "./attachment.ts";

/** The aliases of both ends of a pod's veth pair. */
export interface PairAliases {
  /** Of the end that the pod's interface hangs on, in the panel. */
  readonly far: string;
  readonly near: string;
}

/** linux/if.h, IFALIASZ less the final zero. */
const ALIAS_MAX_BYTES = 255;
const END = ".";
/** With the interface name of the call where that is another one. */
const FIELD_COUNTS = [7, 8];

/**
 * A pod's port as the kernel remembers it: the same facts as in the switch's database, which can be lost apart from the links. What does
 * not fit the far end's alias goes on in the near end's; undefined when both together are too short.
 */
export function aliasesOf(facts: AttachmentFacts): PairAliases | undefined {
  const { endpointKey, epoch, containerId, ifName, configName, netnsPath } = facts;
  const key = endpointKey === endpointKeyOf(facts) ? "" : endpointKey;
  const call = isOfOtherCall(facts) ? [facts.callIfName] : [];
  const fields = [epoch, ifName, containerId, configName, netnsPath, key, ...call].map(encodeField);
  const text = [LINK_ALIAS, ...fields, END].join(" ");
  const rest = text.slice(ALIAS_MAX_BYTES);
  const near = rest === "" ? LINK_ALIAS : `${LINK_ALIAS} ${rest}`;
  return near.length > ALIAS_MAX_BYTES ? undefined : { far: text.slice(0, ALIAS_MAX_BYTES), near };
}

/** Reads what `aliasesOf` wrote; undefined when there is no whole text of ours. */
export function factsOf(far: string | undefined, near: string | undefined): AttachmentFacts | undefined {
  if (far === undefined || !far.startsWith(`${LINK_ALIAS} `)) return undefined;
  const rest = near?.startsWith(`${LINK_ALIAS} `) === true ? near.slice(LINK_ALIAS.length + 1) : "";
  const fields = `${far}${rest}`.split(" ").slice(1);
  if (!FIELD_COUNTS.includes(fields.length) || fields.at(-1) !== END) return undefined;
  const [epoch = "", ifName = "", containerId = "", configName = "", netnsPath = "", key = "", call] = fields
    .slice(0, -1)
    .map(decodeField);
  if (!Epoch.safeParse(epoch).success || containerId === "" || ifName === "") return undefined;
  const endpointKey = key === "" ? endpointKeyOf({ containerId, ifName }) : key;
  const ofCall = call === undefined ? {} : { callIfName: call };
  return { endpointKey, epoch, role: POD_ROLE, containerId, ifName, ...ofCall, configName, netnsPath };
}

/** One byte for each character, and no spaces. */
function encodeField(text: string): string {
  return encodeURIComponent(text).replaceAll("%2F", "/").replaceAll("%3A", ":");
}

/** The kernel keeps any bytes: what cannot be decoded was not written by us. */
function decodeField(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
