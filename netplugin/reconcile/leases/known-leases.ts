import type { Attachment } from "../../machine/attachment.ts";
import { type KnownLease, markedLease } from "../../machine/lease-mark.ts";
import { streamEpochOf } from "../../view/early.ts";
import type { Changes } from "../../view/node-view.ts";
import { endpointsOfNode, recordOf } from "../../view/query.ts";
import type { ViewHolder } from "../../view/view-holder.ts";

export interface KnownLeasesOptions {
  readonly nodeName: string;
  readonly holder: Pick<ViewHolder, "view" | "onStep">;
  /** What a port says, or is recorded to have said. */
  readonly marksOf: (portName: string) => Readonly<Record<string, string>>;
}

/** The leases of this node's pods as the store showed them last: what a store that was restored or replaced may lack. */
export class KnownLeases {
  readonly #options: KnownLeasesOptions;
  readonly #byKey = new Map<string, KnownLease>();
  #epoch: string | undefined;

  constructor(options: KnownLeasesOptions) {
    this.#options = options;
    options.holder.onStep((changes) => this.#follow(changes));
  }

  /** Undefined when neither this process nor the port's mark knows it. */
  of({ endpointKey, epoch, portName }: Attachment): KnownLease | undefined {
    const [seen, marked] = [this.#byKey.get(endpointKey), markedLease(this.#options.marksOf(portName))].map((lease) =>
      lease?.endpoint.epoch === epoch ? lease : undefined,
    );
    return seen === undefined || marked?.given === undefined ? (seen ?? marked) : { ...seen, given: marked.given };
  }

  /** Forgets leases that have ended. */
  keep(isWanted: (endpointKey: string) => boolean): void {
    for (const key of this.#byKey.keys()) if (!isWanted(key)) this.#byKey.delete(key);
  }

  #follow(changes: Changes): void {
    const { holder, nodeName } = this.#options;
    const view = holder.view();
    if (view.epoch !== this.#epoch) {
      this.#epoch = view.epoch;
      for (const endpoint of endpointsOfNode(view, nodeName)) this.#note({ storeEpoch: view.epoch ?? "", endpoint });
      return;
    }
    const storeEpoch = streamEpochOf(view) ?? ""; // what comes before a new epoch's list is complete is in that epoch's store
    for (const { kind, key } of changes.values()) {
      const endpoint = kind === "endpoint" ? recordOf(view, "endpoint", key) : undefined;
      if (endpoint?.nodeName === nodeName) this.#note({ storeEpoch, endpoint });
    }
  }

  #note(lease: KnownLease): void {
    this.#byKey.set(lease.endpoint.key, lease);
  }
}
