import { isErrno } from "../../../drivers/netlink/errno.ts";
import { dumpLinks } from "../../../drivers/netlink/link.ts";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import type { PortDriver, PortSpec } from "../../../drivers/ovs/types.ts";
import { NetError } from "../../../state/errors.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import { poll } from "../../../state/waiting/repeat.ts";
import { attachmentMarks, INFRA_ROLE } from "../../machine/attachment.ts";
import { type DeviceState, deviceRepairs, differsInSwitch, type InfraDevice, readDevice } from "./device.ts";
import { ignoreRouters } from "./router-advertisements.ts";

/** The switch and the kernel, as far as infra ports need them. */
export interface PortMeans {
  readonly ports: PortDriver;
  readonly netlink: SocketPool;
}

/** One port that should be as described. */
export interface WantedPort {
  readonly name: string;
  readonly lease: EndpointRecord;
  readonly device: InfraDevice;
  readonly isPlugged: boolean;
}

/** The switch makes and removes devices after its database has said so. */
const DEVICE_TIMEOUT_MS = 3_000;
/** A port without a device for longer than this needs to be made anew. */
const DEVICE_LOST_MS = 500;
const DEVICE_POLL_MS = 20;

/** Brings one port and its device to what they should be; true when something had to be changed. */
export async function ensureInfraPort(means: PortMeans, wanted: WantedPort, signal: AbortSignal): Promise<boolean> {
  if (!wanted.isPlugged) await plugIn(means, wanted, signal);
  let state = await deviceOf(means, wanted.name, { timeoutMs: DEVICE_LOST_MS, signal });
  if (state === undefined) {
    await unplugInfraPorts(means, [wanted.name], signal);
    await plugIn(means, wanted, signal);
    state = await deviceOf(means, wanted.name, { timeoutMs: DEVICE_TIMEOUT_MS, signal });
  }
  if (state === undefined) {
    throw new NetError("REJECTED", `The switch has plugged in "${wanted.name}" and made no device for it; see its log`);
  }
  await ignoreRouters(wanted.name);
  const repairs = deviceRepairs(wanted.device, state);
  if (repairs.length === 0) return !wanted.isPlugged;
  if (wanted.isPlugged && differsInSwitch(wanted.device, state)) await plugIn(means, wanted, signal);
  await means.netlink.execute(repairs, { signal });
  return true;
}

/** Removes ports, and waits until their devices are gone: their names may be wanted again at once. */
export async function unplugInfraPorts(
  { ports, netlink }: PortMeans,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (names.length === 0) return;
  const failures = await ports.apply({ put: new Map(), remove: new Set(names) }, { signal });
  for (const failure of failures.values()) throw failure;
  await poll(
    async () => {
      const present = new Set((await netlink.dump(dumpLinks(), { signal })).map((link) => link.name));
      return names.some((name) => present.has(name)) ? undefined : true;
    },
    { everyMs: DEVICE_POLL_MS, timeoutMs: DEVICE_TIMEOUT_MS, signal },
  );
}

async function plugIn({ ports }: PortMeans, wanted: WantedPort, signal: AbortSignal): Promise<void> {
  const failures = await ports.apply({ put: new Map([[wanted.name, specOf(wanted)]]), remove: new Set() }, { signal });
  for (const failure of failures.values()) throw failure;
}

function specOf({ lease, device }: WantedPort): PortSpec {
  const { key: endpointKey, epoch, containerId, ifName } = lease;
  const marks = { endpointKey, epoch, containerId, ifName, role: INFRA_ROLE, configName: "", netnsPath: "" } as const;
  return { kind: "internal", mac: device.mac, mtuBytes: device.mtuBytes, externalIds: attachmentMarks(marks) };
}

interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

function deviceOf({ netlink }: PortMeans, name: string, wait: WaitOptions): Promise<DeviceState | undefined> {
  return poll(
    async () => {
      try {
        return await readDevice(netlink, name, wait.signal);
      } catch (error) {
        if (isErrno(error, "ENODEV")) return undefined;
        throw error;
      }
    },
    { ...wait, everyMs: DEVICE_POLL_MS },
  );
}
