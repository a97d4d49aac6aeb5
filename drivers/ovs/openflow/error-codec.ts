import { NetError } from "../../../state/errors.ts";
import { getU16, getU32, type Reader, remaining } from "./bytes.ts";
import { errorName } from "./error-names.ts";

/** openflow-1.2.h, OFPET12_EXPERIMENTER. */
const EXPERIMENTER = 0xffff;
/** OFPHFC_* (hello failed): its data is text for people. */
const HELLO_FAILED = 0;

/** An error message of the switch. */
export interface SwitchError {
  /** `OFPBMC_BAD_PREREQ` and the like. */
  readonly name: string;
  /** The switch's own words, where it sends some. */
  readonly text: string;
}

/** openflow-1.1.h, struct ofp_error_msg; the rest of it is the beginning of the message at fault. */
export function getSwitchError(body: Reader): SwitchError {
  const type = getU16(body);
  const code = getU16(body);
  if (type !== EXPERIMENTER) {
    const text = type === HELLO_FAILED ? body.buffer.toString("utf8", body.offset, body.end) : "";
    return { name: errorName(type, code), text };
  }
  const vendor = remaining(body) >= 4 ? getU32(body) : 0;
  return { name: errorName(type, code, vendor), text: "" };
}

/** The error as our own; `doing` completes "Cannot …". */
export function rejected(doing: string, error: SwitchError): NetError {
  const text = error.text === "" ? "" : ` (${error.text})`;
  return new NetError("REJECTED", `Cannot ${doing}: the switch answered ${error.name}${text}`, { reason: error.name });
}
