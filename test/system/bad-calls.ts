import type { PodPlacement } from "../../deploy/cluster/pods.ts";

/** Calls that the CNI endpoint refuses: what is wrong, the error code, and what the message says. */
export const BAD_ENVIRONMENTS: [string, Readonly<Record<string, string | undefined>>, number, RegExp][] = [
  [
    "a namespace that does not exist",
    { CNI_NETNS: "/run/netns/no-such" },
    4,
    /CNI_NETNS="\/run\/netns\/no-such" .*no such path/,
  ],
  ["a file that is no namespace", { CNI_NETNS: "/etc/passwd" }, 4, /a regular file, not a network namespace/],
  ["a path that is not absolute", { CNI_NETNS: "netns/x" }, 4, /CNI_NETNS/],
  ["no namespace", { CNI_NETNS: undefined }, 4, /CNI_NETNS/],
  ["an interface name that is too long", { CNI_IFNAME: "sixteen-is-toolong" }, 4, /CNI_IFNAME/],
  ["an interface name with a slash", { CNI_IFNAME: "a/b" }, 4, /CNI_IFNAME/],
  ["an odd container id", { CNI_CONTAINERID: "../../etc" }, 4, /CNI_CONTAINERID/],
  ["no command", { CNI_COMMAND: undefined }, 4, /CNI_COMMAND/],
  ["an unknown command", { CNI_COMMAND: "FROB" }, 4, /CNI_COMMAND="FROB" is unknown/],
  ["CNI_ARGS without sense", { CNI_ARGS: "a;b;=;" }, 4, /CNI_ARGS/],
];

export const BAD_INPUTS: [string, string, number, RegExp][] = [
  ["nothing", "", 6, /stdin is empty/],
  ["no JSON", "{{{", 6, /no valid JSON/],
  ["a list", "[1]", 6, /no JSON object/],
  ["an unknown version", '{"cniVersion":"9.9.9","name":"x","type":"contiv"}', 1, /9\.9\.9/],
  ["no name", '{"cniVersion":"1.0.0","type":"contiv"}', 7, /"name" is missing/],
  ["an odd name", '{"cniVersion":"1.0.0","name":"a b","type":"contiv"}', 7, /"name"/],
  [
    "labels that are a number",
    '{"cniVersion":"1.0.0","name":"x","type":"contiv","args":{"labels":7}}',
    7,
    /args\.labels/,
  ],
  ["an MTU that is a text", '{"cniVersion":"1.0.0","name":"x","type":"contiv","mtu":"big"}', 7, /mtu/],
  [
    "deep nesting",
    `{"cniVersion":"1.0.0","name":"x","type":"contiv","deep":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    7,
    /default/,
  ],
];

export const BAD_PLACEMENTS: [PodPlacement, number, RegExp][] = [
  [{ tenant: "nobody", network: "net" }, 7, /tenant nobody/],
  [{ tenant: "t1", network: "nowhere" }, 7, /network t1:nowhere/],
  [{ tenant: "t1", network: "net", group: "none" }, 7, /group t1:none/],
  [{ tenant: "bad name!", network: "net" }, 7, /io\.contiv\.tenant/],
  [{}, 7, /network default:default-net/],
];

/** Bytes that are no call. */
export const GARBAGE: [string, Buffer][] = [
  ["nothing", Buffer.alloc(0)],
  ["zeros", Buffer.alloc(4_096)],
  ["noise", Buffer.from(Array.from({ length: 5_000 }, (_, index) => (index * 7_919) % 256))],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
  ["a variable without end", Buffer.from(`CNI_COMMAND=${"A".repeat(300_000)}`)],
  ["ten megabytes", Buffer.alloc(10_000_000, 0x41)],
  ["bytes that are no UTF-8", Buffer.from("CNI_COMMAND=ADD\0\0\xff\xfe{\xff}", "latin1")],
];
