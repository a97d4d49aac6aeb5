/** In which company `test/run` runs a file of system tests. What is in neither list here is `shared`. */
export const GROUPS = ["shared", "paired", "alone"] as const;

export type Group = (typeof GROUPS)[number];

/** They ask whether something happens, not how fast, and wait long enough for it on a busy machine. */
export const SHARED_WORKERS = 2;

/** Two at a time: they measure times, but mostly wait, and what they allow is several times what they find beside a neighbour. */
export const PAIRED: readonly string[] = [
  ...["announce", "chaos", "connection-log", "connections", "explain", "masters", "mixed-releases"].map(cluster),
  ...["policy", "rest-abuse", "restarts", "store-full"].map(cluster),
  ...["access-faults", "cluster-faults", "contract", "lease-faults", "lease-thread", "soak", "watch-faults"].map(etcd),
  ...["drivers/netlink/socket", "drivers/ovs/openflow/lifetime", "netplugin/desired/policy/policy"].map(system),
  system("test/guests/hostile"),
];

/** Nothing else runs beside them: they measure rates near what is allowed, or what the machine can do. */
export const ALONE: readonly string[] = [
  ...["bandwidth", "ceilings", "netmasters"].map(cluster),
  etcd("commit-faults"),
  system("test/guests/limits"),
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
