/** What exceeds the rate is dropped. */
export interface DropBand {
  readonly kind: "drop";
  /** In the meter's unit: kbit/s (of 1000) or packets/s. */
  readonly rate: number;
  /** kbit or packets that may pass at once. */
  readonly burst: number;
}

/** A rate limit that flows refer to by number. */
export interface Meter {
  readonly id: number;
  readonly rateUnit: "kbit/s" | "packet/s";
  /** Bands carry a burst of their own; without it the switch chooses one. */
  readonly hasBurst: boolean;
  readonly keepsStats: boolean;
  readonly bands: readonly DropBand[];
}

/** A change of the meter table (openflow-1.3.h, struct ofp13_meter_mod). */
export type MeterMod =
  | { readonly kind: "meter-add"; readonly meter: Meter }
  | { readonly kind: "meter-modify"; readonly meter: Meter }
  /** Deletes the meter and every flow that uses it; an absent one succeeds. */
  | { readonly kind: "meter-delete"; readonly id: number | "all" };

export interface MeterStats {
  readonly id: number;
  readonly flowCount: number;
  readonly packetInCount: bigint;
  readonly byteInCount: bigint;
  readonly durationMs: number;
  /** What each band took (dropped), in the order of the meter's bands. */
  readonly bands: readonly { readonly packetCount: bigint; readonly byteCount: bigint }[];
}

export interface MeterFeatures {
  readonly maxMeters: number;
  readonly maxBands: number;
  readonly canDrop: boolean;
  readonly hasKbps: boolean;
  readonly hasPktps: boolean;
  readonly hasBurst: boolean;
  readonly hasStats: boolean;
}
