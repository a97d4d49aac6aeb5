import type { Action, ControllerAction } from "./action.ts";
import { checked, endAction, NXAST, startNicira, WHOLE_PACKET } from "./action-wire.ts";
import {
  getBytes,
  getU8,
  getU16,
  getU32,
  putBytes,
  putU8,
  putU16,
  putU32,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";
import { getProperty, putProperty } from "./property.ts";

/** ofp-actions.c, enum nx_action_controller2_prop_type; written in this order, what is default left out. */
const PROPERTY = { maxLen: 0, controllerId: 1, reason: 2, userdata: 3, pause: 4, meter: 5 } as const;
/** openflow-common.h, OFPR_ACTION. */
const REASON_ACTION = 1;

/**
 * Writes what Open vSwitch writes back (ofp-actions.c, encode_CONTROLLER): the older action unless the newer one is needed.
 */
export function putController(writer: Writer, action: ControllerAction): void {
  const { maxLenBytes = WHOLE_PACKET, controllerId = 0, reason = REASON_ACTION, userdata, meter } = action;
  checked(maxLenBytes, 16, "controller max_len");
  checked(controllerId, 16, "controller id");
  checked(reason, 8, "controller reason");
  const hasUserdata = userdata !== undefined && userdata.length > 0;
  if (!hasUserdata && !action.pause && meter === undefined) putShort(writer, maxLenBytes, controllerId, reason);
  else putLong(writer, { ...action, maxLenBytes, controllerId, reason });
}

/** NXAST_CONTROLLER (20): nicira-ext.h, struct nx_action_controller. */
function putShort(writer: Writer, maxLenBytes: number, controllerId: number, reason: number): void {
  const start = startNicira(writer, NXAST.controller);
  putU16(writer, maxLenBytes);
  putU16(writer, controllerId);
  putU8(writer, reason);
  endAction(writer, start);
}

interface FilledAction extends ControllerAction {
  readonly maxLenBytes: number;
  readonly controllerId: number;
  readonly reason: number;
}

/** NXAST_CONTROLLER2 (37): struct ext_action_header, then properties. */
function putLong(writer: Writer, action: FilledAction): void {
  const start = startNicira(writer, NXAST.controller2);
  putZeros(writer, 6);
  const { maxLenBytes, controllerId, reason, userdata, meter } = action;
  if (maxLenBytes !== WHOLE_PACKET) putProperty(writer, PROPERTY.maxLen, (out) => putU16(out, maxLenBytes));
  if (controllerId !== 0) putProperty(writer, PROPERTY.controllerId, (out) => putU16(out, controllerId));
  if (reason !== REASON_ACTION) putProperty(writer, PROPERTY.reason, (out) => putU8(out, reason));
  if (userdata !== undefined && userdata.length > 0) {
    putProperty(writer, PROPERTY.userdata, (out) => putBytes(out, userdata));
  }
  if (action.pause) putProperty(writer, PROPERTY.pause, () => {});
  if (meter !== undefined) {
    putProperty(writer, PROPERTY.meter, (out) => putU32(out, checked(meter, 32, "controller meter")));
  }
  endAction(writer, start);
}

export function getShortController(reader: Reader): Action {
  const maxLenBytes = getU16(reader);
  const controllerId = getU16(reader);
  const reason = getU8(reader);
  return {
    kind: "controller",
    ...(maxLenBytes !== WHOLE_PACKET && { maxLenBytes }),
    ...(controllerId !== 0 && { controllerId }),
    ...(reason !== REASON_ACTION && { reason }),
  };
}

export function getController(reader: Reader): Action | undefined {
  skip(reader, 6);
  let action: ControllerAction = { kind: "controller" };
  while (remaining(reader) > 0) {
    const { type, value } = getProperty(reader);
    const part = controllerPart(type, value);
    if (part === undefined) return undefined;
    action = { ...action, ...part };
  }
  return action;
}

function controllerPart(type: number, value: Reader): Partial<ControllerAction> | undefined {
  switch (type) {
    case PROPERTY.maxLen:
      return { maxLenBytes: getU16(value) };
    case PROPERTY.controllerId:
      return { controllerId: getU16(value) };
    case PROPERTY.reason:
      return { reason: getU8(value) };
    case PROPERTY.userdata:
      return { userdata: Uint8Array.from(getBytes(value, remaining(value))) };
    case PROPERTY.pause:
      return { pause: true };
    case PROPERTY.meter:
      return { meter: getU32(value) };
    default:
      return undefined;
  }
}
