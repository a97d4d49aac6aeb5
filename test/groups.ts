/** In which company `test/run` runs a file of system tests. What is in neither list here is `shared`. */
export const GROUPS = ["shared", "paired", "rates", "beside", "alone"] as const;

export type Group = (typeof GROUPS)[number];

/** They ask whether something happens, not how fast, and wait long enough for it on a busy machine. */
export const SHARED_WORKERS = 3;

/** They measure times, but mostly wait, and what they allow is several times what they find beside two neighbours. */
export const PAIRED_WORKERS = 3;

/** So many at a time; nothing that keeps the processors busy all the time is among them. */
export const PAIRED: readonly string[] = [
  ...["announce", "chaos", "connection-log", "connections", "explain", "masters", "mixed-releases"].map(cluster),
  ...["policy", "rest-abuse", "restarts", "rule-replacement", "store-full"].map(cluster),
  ...["drivers/netlink/socket", "drivers/ovs/openflow/lifetime", "netplugin/desired/policy/policy"].map(system),
  system("test/guests/hostile"),
];

/** One at a time: they measure rates of some Mbit/s, which ask little of the machine, but often. Only `beside` runs meanwhile. */
export const RATES: readonly string[] = ["bandwidth", "ceilings"].map(cluster);

/** One at a time, while `rates` runs: they wait for what etcd does about a fault. With a second one beside them, leases of 2 s were lost. */
export const BESIDE: readonly string[] = [
  ...["access-faults", "cluster-faults", "contract", "lease-faults", "lease-thread", "soak", "watch-faults"],
].map(etcd);

export const BESIDE_WORKERS = 1;

/** Nothing else runs beside them: they measure what the machine can do. */
export const ALONE: readonly string[] = [
  ...[cluster("netmasters"), etcd("commit-faults")],
  ...[system("netplugin/cni/shim"), system("test/guests/limits")],
];

/** They begin first, the longest before all, so that none of them is left when the others have ended. */
export const LONGEST: readonly string[] = [
  ...["deletion", "hostile/hostile", "chaos", "policy-truth", "masters"].map(cluster),
  system("netplugin/desired/forwarding/forwarding"),
  ...["installed-pages", "pages", "mixed-releases", "policy", "endpoints"].map(cluster),
  system("netplugin/desired/policy/policy-packets"),
  system("test/guests/hostile"),
  ...["restarts", "traffic"].map(cluster),
  system("netplugin/desired/forwarding/hostile-packets"),
  ...["infra", "member-restored", "explain"].map(cluster),
];

function cluster(name: string): string {
  return system(`test/system/${name}`);
}

function etcd(name: string): string {
  return system(`state/store/etcd/${name}`);
}

function system(path: string): string {
  return `${path}.system.test.ts`;
}
