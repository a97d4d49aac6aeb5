import type { LinkPair } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import type { PortDriver } from "../../../drivers/ovs/types.ts";
import { attachmentOf, leaseOf } from "../../machine/attachment.ts";
import type { AttachmentRecords } from "../../machine/attachment-records.ts";
import type { EndedLease, EndedLeases } from "../../machine/ended-leases.ts";
import type { MachineView } from "../../machine/machine-view.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import { factsOfPair } from "./attachment-plan.ts";

export interface SwitchOfEnded {
  readonly ports: Pick<PortDriver, "read">;
  readonly ended: Pick<EndedLeases, "has">;
  readonly isReleasing: (portName: string) => boolean;
}

/** Ports of leases whose DEL an earlier run has answered; it had not cleaned them up when it was killed. */
export function placesOfEnded({ ports, ended, isReleasing }: SwitchOfEnded): readonly string[] {
  return [...ports.read().values()]
    .filter((port) => {
      const facts = attachmentOf(port);
      return facts !== undefined && ended.has(leaseOf(facts)) && !isReleasing(port.name);
    })
    .map(({ name }) => name);
}

export interface Witnesses {
  readonly pairs: ReadonlyMap<string, LinkPair>;
  readonly ports: Pick<PortDriver, "read">;
  readonly machine: Pick<MachineView, "attachments">;
  readonly records: Pick<AttachmentRecords, "all">;
  readonly view: NodeView;
  readonly ended: Pick<EndedLeases, "all">;
}

/** Leases that neither the store nor anything on this machine shows any more: they need no note. */
export function forgettable({ pairs, ports, machine, records, view, ended }: Witnesses): readonly EndedLease[] {
  if (!view.complete || ended.all().length === 0) return [];
  const shown = [
    ...[...pairs.values()].map(factsOfPair),
    ...[...ports.read().values()].map((port) => attachmentOf(port)),
    ...machine.attachments().values(),
    ...records.all(),
  ];
  const epochs = new Set(shown.map((facts) => facts?.epoch));
  const isStored = ({ key, epoch }: EndedLease) =>
    [recordOf(view, "endpoint", key), view.released.get(key)?.record].some((record) => record?.epoch === epoch);
  return ended.all().filter((lease) => !isStored(lease) && !epochs.has(lease.epoch));
}
