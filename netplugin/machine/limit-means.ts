/** What this node has to limit bandwidth with; found out at start (capabilities.ts). */
export interface LimitMeans {
  readonly datapathType: "system" | "netdev";
  /** Kernel: act_police with matchall or basic. */
  readonly ingressPolicing: boolean;
  readonly tbf: boolean;
  /** Kernel: redirect to an ifb with u32 and mirred. */
  readonly ifbRedirect: boolean;
  /** Switch: OpenFlow meters. */
  readonly meters: boolean;
  /** What a pod's interface is: a macvlan on an end in the patch panel, or that end itself. */
  readonly podEnd: "macvlan" | "veth";
  /** Longest frame that a pod can send or receive here, Ethernet header included. */
  readonly frameBytes: number;
}

/** Before anything has been probed. */
export const NO_MEANS: LimitMeans = {
  datapathType: "netdev",
  ingressPolicing: false,
  tbf: false,
  ifbRedirect: false,
  meters: false,
  podEnd: "veth",
  frameBytes: 1_518,
};
