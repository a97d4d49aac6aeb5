import type { FieldName } from "./fields.ts";
import type { Port, TableId } from "./values.ts";

/** Part of a field, counted from its lowest bit; the whole field when `startBit` and `bitCount` are absent. */
export interface Bits {
  readonly field: FieldName;
  readonly startBit?: number;
  readonly bitCount?: number;
}

/** Value for a field: number up to 32 bits, bigint above, text for addresses (`02:…`, `10.0.0.1`, `fd00::1`). */
export type FieldValue = number | bigint | string;

/** Network address translation inside `ct`; without `direction` an existing translation is applied. */
export interface Nat {
  readonly direction?: "src" | "dst";
  /** First (or only) address, IPv4 or IPv6. */
  readonly addressMin?: string;
  readonly addressMax?: string;
  readonly portMin?: number;
  readonly portMax?: number;
  readonly persistent?: boolean;
  readonly hash?: boolean;
  readonly random?: boolean;
}

/** Connection tracking (NXAST_CT). */
export interface CtAction {
  readonly kind: "ct";
  readonly commit?: boolean;
  /** With `commit`: make this the original direction, whatever the entry says. */
  readonly force?: boolean;
  /** Number or 16 bits of a field; 0 when absent. */
  readonly zone?: number | Bits;
  /** The packet comes back, tracked, in this table; this list goes on with it untracked. */
  readonly table?: TableId;
  readonly nat?: Nat;
  /** Applied on commit; only fields of the entry (`ctMark`, `ctLabel`). */
  readonly exec?: readonly Action[];
  readonly alg?: "ftp" | "tftp";
}

/** One instruction of a flow that `learn` makes. */
export type LearnSpec =
  | { readonly kind: "match"; readonly dst: Bits; readonly src: Bits | bigint }
  | { readonly kind: "load"; readonly dst: Bits; readonly src: Bits | bigint }
  | { readonly kind: "output"; readonly src: Bits };

/** Adds a flow made of the packet at hand (NXAST_LEARN). */
export interface LearnAction {
  readonly kind: "learn";
  readonly table: TableId;
  readonly priority: number;
  readonly cookie: bigint;
  readonly idleTimeoutS?: number;
  readonly hardTimeoutS?: number;
  readonly finIdleTimeoutS?: number;
  readonly finHardTimeoutS?: number;
  /** NX_LEARN_F_* bits: 1 = tell when removed, 2 = delete what it learned together with this flow. */
  readonly flags?: number;
  readonly specs: readonly LearnSpec[];
}

/** Sends the packet to the controller with a note for it (NXAST_CONTROLLER2). */
export interface ControllerAction {
  readonly kind: "controller";
  /** Bytes of the packet to send; all when absent. (Open vSwitch since 2.7 keeps no packets and sends all in any case.) */
  readonly maxLenBytes?: number;
  readonly controllerId?: number;
  /** OFPR_* number; 1 ("action") when absent. */
  readonly reason?: number;
  readonly userdata?: Uint8Array;
  /** Stop here until the controller resumes the packet. */
  readonly pause?: boolean;
  readonly meter?: number;
}

/** What is done with a packet. An empty list drops it. */
export type Action =
  | { readonly kind: "output"; readonly port: Port; readonly maxLenBytes?: number }
  | { readonly kind: "outputField"; readonly src: Bits; readonly maxLenBytes?: number }
  | {
      readonly kind: "setField";
      readonly field: FieldName;
      readonly value: FieldValue;
      /** Only these bits; all when absent. */
      readonly mask?: FieldValue;
    }
  | { readonly kind: "move"; readonly src: Bits; readonly dst: Bits }
  | { readonly kind: "pushVlan"; readonly ethType?: number }
  | { readonly kind: "popVlan" }
  | { readonly kind: "decTtl" }
  | { readonly kind: "group"; readonly group: number }
  | { readonly kind: "meter"; readonly meter: number }
  | { readonly kind: "setQueue"; readonly queue: number }
  /** Searches `table` (this one when absent) as if the packet came from `inPort` (its own when absent), then goes on. */
  | { readonly kind: "resubmit"; readonly table?: TableId; readonly inPort?: Port }
  | CtAction
  | { readonly kind: "ctClear" }
  /** Sets the one bit `dst` to whether the whole frame, Ethernet header included, is longer than that (NXAST_CHECK_PKT_LARGER). */
  | { readonly kind: "checkPktLarger"; readonly lengthBytes: number; readonly dst: Bits }
  /** Clause `clause` (1 to `clauseCount`) of conjunctive match `id`. */
  | { readonly kind: "conjunction"; readonly id: number; readonly clause: number; readonly clauseCount: number }
  | ControllerAction
  /** Does nothing; trailing zero bytes are not kept. */
  | { readonly kind: "note"; readonly data: Uint8Array }
  | {
      readonly kind: "sample";
      /** Of 65536 packets. */
      readonly probability: number;
      readonly collectorSet: number;
      readonly observationDomain: number;
      readonly observationPoint: number;
    }
  /** Runs the list on a copy: what it changes is forgotten. */
  | { readonly kind: "clone"; readonly actions: readonly Action[] }
  | LearnAction
  /** Remembers bits of a field on a stack, or takes them back. */
  | { readonly kind: "push" | "pop"; readonly bits: Bits }
  /** An action of a foreign flow that this library has no name for: its bytes, header included. */
  | { readonly kind: "raw"; readonly bytes: Uint8Array };

/** Sets `bitCount` bits of a register (or other integer field) from bit `startBit` on. */
export function loadBits(field: FieldName, bits: { startBit: number; bitCount: number }, value: number): Action {
  const width = 2n ** BigInt(bits.bitCount) - 1n;
  const shift = BigInt(bits.startBit);
  return { kind: "setField", field, value: BigInt(value) << shift, mask: width << shift };
}
