import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errorReply } from "../../netmaster/http/problem.ts";
import { type ErrorCode, NetError } from "../../state/errors.ts";
import { code, table } from "./table.ts";

interface RestError {
  readonly kind: ErrorCode;
  readonly meaning: string;
  readonly next: string;
}

const AGAIN = "Try again after `Retry-After` seconds.";
const READ_AGAIN = "Read the object, and repeat the change on what it is now.";
const CORRECT = "Correct the member that `field` names; `detail` says what it must be.";

/** Every `code` of a problem document, by status and name. */
const ERRORS: Readonly<Record<string, RestError>> = {
  invalid: { kind: "INVALID", meaning: "The request is wrong.", next: "See `detail`." },
  "invalid-field": {
    kind: "INVALID",
    meaning: "A member or parameter has a wrong value, or is not known here.",
    next: CORRECT,
  },
  "key-mismatch": {
    kind: "INVALID",
    meaning: "The members of the body make another key than the URL has.",
    next: "Correct the URL or the names in the body.",
  },
  "malformed-body": { kind: "INVALID", meaning: "The body is no JSON object.", next: "Send a JSON object." },
  "malformed-request": { kind: "INVALID", meaning: "The request cannot be read as HTTP.", next: "Correct the client." },
  "missing-field": {
    kind: "INVALID",
    meaning: "A member or parameter that is required is absent.",
    next: "Add the one that `field` names.",
  },
  "unknown-reference": {
    kind: "INVALID",
    meaning: "A member or parameter names an object that does not exist.",
    next: "Create that object first, or correct the name.",
  },
  forbidden: { kind: "FORBIDDEN", meaning: "The caller may not do this.", next: "See `detail`." },
  "not-found": {
    kind: "NOT_FOUND",
    meaning: "The object does not exist.",
    next: "See the list of its collection for the key.",
  },
  "unknown-route": { kind: "NOT_FOUND", meaning: "There is no such path.", next: "See `/api/v1/openapi.json`." },
  "method-not-allowed": {
    kind: "INVALID",
    meaning: "The path does not offer the method.",
    next: "Use one that the header `Allow` names.",
  },
  "address-in-use": {
    kind: "CONFLICT",
    meaning: "`releaseAddress` names an address of an endpoint, or a gateway.",
    next: "Delete the endpoint instead.",
  },
  "address-taken": {
    kind: "CONFLICT",
    meaning: "The address is taken; `detail` says by whom.",
    next: "Ask for another address, or free this one.",
  },
  "addresses-exhausted": {
    kind: "EXHAUSTED",
    meaning: "The network, or the group's pool, has no free address.",
    next: "Remove pods, or create a larger network or pool.",
  },
  ambiguous: {
    kind: "CONFLICT",
    meaning: "The name fits several objects.",
    next: "Use one of the keys that `detail` lists.",
  },
  conflict: {
    kind: "CONFLICT",
    meaning: "Somebody else changed or deleted the object at the same time.",
    next: READ_AGAIN,
  },
  "endpoint-elsewhere": {
    kind: "CONFLICT",
    meaning: "The endpoint exists on another node.",
    next: "Delete it there first, or use another id.",
  },
  "endpoint-exists": {
    kind: "CONFLICT",
    meaning: "The endpoint exists with another network, group, address or pod.",
    next: "Delete it first, or ask for what it has.",
  },
  exhausted: { kind: "EXHAUSTED", meaning: "Nothing is left to hand out.", next: "See `detail`." },
  "ids-exhausted": {
    kind: "EXHAUSTED",
    meaning: "No internal number is left.",
    next: "Report it: there are four billion.",
  },
  immutable: {
    kind: "IMMUTABLE",
    meaning: "The object exists, and the member is fixed.",
    next: "Delete the object and create it anew ([which members](../objects.md#every-member)).",
  },
  "in-use": {
    kind: "IN_USE",
    meaning: "Other objects use it; `blockers` holds the first of their keys.",
    next: "Delete or change those first.",
  },
  "name-taken": {
    kind: "CONFLICT",
    meaning: "A network and a group of one tenant would have the same name.",
    next: "Choose another name.",
  },
  "node-ready": {
    kind: "IN_USE",
    meaning: "The node sends heartbeats, so its pods may be alive.",
    next: "Stop its netplugin, and wait until the node is unreachable.",
  },
  "pool-taken": {
    kind: "CONFLICT",
    meaning: "The pool holds addresses that are taken, or in another group's pool.",
    next: "Choose another range.",
  },
  "subnet-overlap": {
    kind: "CONFLICT",
    meaning: "The subnet overlaps that of another network of the tenant.",
    next: "Choose another subnet, or another tenant.",
  },
  "tag-in-use": {
    kind: "CONFLICT",
    meaning: "A VLAN id or VNI in use would be outside the new range.",
    next: "Choose a range that holds it, or delete its network.",
  },
  "tag-taken": {
    kind: "CONFLICT",
    meaning: "Another network has the VLAN id or VNI.",
    next: "Choose another, or 0 for a free one.",
  },
  "tags-exhausted": {
    kind: "EXHAUSTED",
    meaning: "No VLAN id or VNI of the configured range is free.",
    next: "Widen `vlans` or `vxlans` of `globals`, or delete networks.",
  },
  "revision-too-old": {
    kind: "CONFLICT",
    meaning: "The watch begins too far in the past, or in another epoch of the store.",
    next: "List again, and watch from that list's `contiv-revision`.",
  },
  "node-not-registered": {
    kind: "PRECONDITION",
    meaning: "The endpoint's node is not registered.",
    next: "See that netplugin runs on that node.",
  },
  "precondition-failed": {
    kind: "PRECONDITION",
    meaning: "`If-Match` or `If-None-Match` does not hold.",
    next: READ_AGAIN,
  },
  "body-too-large": { kind: "INVALID", meaning: "The body is larger than 1 MiB.", next: "Send less at once." },
  internal: {
    kind: "INTERNAL",
    meaning: "A defect of netmaster.",
    next: "Report it with the log record that has the id in `detail`.",
  },
  rejected: { kind: "REJECTED", meaning: "Another part of the system refused.", next: "See `detail` and the log." },
  "driver-absent": {
    kind: "UNSUPPORTED",
    meaning: "The node does not have the network's driver.",
    next: "Place the pod on a node that has it (`drivers` of `GET /api/v1/nodes/`).",
  },
  unsupported: { kind: "UNSUPPORTED", meaning: "This release cannot do it.", next: "See `detail` for what it can do." },
  "addresses-held": {
    kind: "UNAVAILABLE",
    meaning: "After a restore of the store, new addresses wait until the nodes have reported their pods.",
    next: "Wait for the nodes that `detail` names, at most `--node-timeout`.",
  },
  closed: { kind: "CLOSED", meaning: "This netmaster is stopping.", next: "Ask another one, or try again." },
  "diverged-member": {
    kind: "UNAVAILABLE",
    meaning: "A member of etcd holds other data than the others.",
    next: "Take it out of the cluster and add it anew, empty ([operations.md](../operations.md)).",
  },
  "foreign-member": {
    kind: "UNAVAILABLE",
    meaning: "A member of etcd belongs to another cluster than the others.",
    next: "Correct `--etcd-endpoints`.",
  },
  "leader-unreachable": {
    kind: "UNAVAILABLE",
    meaning: "This netmaster cannot reach the one that leads. `detail` says whether the change may have been made.",
    next: "Try again. If it stays, see `--advertise-url` and the certificates of the leader.",
  },
  "no-leader": {
    kind: "UNAVAILABLE",
    meaning: "No netmaster leads now. Nothing was changed.",
    next: `${AGAIN} If it stays, see that etcd has a quorum.`,
  },
  "not-leader": { kind: "UNAVAILABLE", meaning: "This netmaster has stopped leading.", next: AGAIN },
  overloaded: { kind: "UNAVAILABLE", meaning: "Too many writes wait. Nothing was changed.", next: AGAIN },
  starting: { kind: "UNAVAILABLE", meaning: "This netmaster has not read the store yet.", next: AGAIN },
  "store-full": {
    kind: "UNAVAILABLE",
    meaning: "etcd has no space left and refuses every write. Nothing was changed.",
    next: "Compact and defragment etcd, then `etcdctl alarm disarm` ([operations.md](../operations.md#a-full-store)).",
  },
  "store-replaced": {
    kind: "UNAVAILABLE",
    meaning: "The store was restored or replaced during the request.",
    next: "Read the object, and try again.",
  },
  timeout: {
    kind: "TIMEOUT",
    meaning: "The store did not answer in time. The change may have been made or not.",
    next: "Read the object, and try again if it was not.",
  },
  "too-many-watches": { kind: "UNAVAILABLE", meaning: "Too many watches are open.", next: "Close some." },
  unavailable: {
    kind: "UNAVAILABLE",
    meaning: "The store is away.",
    next: `${AGAIN} If it stays, see that etcd runs.`,
  },
};

/** They never reach a client of REST: nodes alone are told, or this process handles them. */
const NOT_TOLD: readonly string[] = [
  ...["wrong-certificate", "vtep-taken", "router-mac-taken", "network-changed", "no-tunnel-address"],
  ...["lease-gone", "ok"],
];

function statusOf(name: string, { kind }: RestError): number {
  const context = { hasAccept: true, path: "/", requestId: "" };
  return errorReply(new NetError(kind, "", { reason: name }), context).status;
}

export function restErrors(): string {
  const known = reasonsInSources();
  const unlisted = known.filter((reason) => ERRORS[reason] === undefined && !NOT_TOLD.includes(reason));
  if (unlisted.length > 0) throw new Error(`test/reference/rest-errors.ts does not list: ${unlisted.join(", ")}`);
  const rows = Object.entries(ERRORS)
    .map(([name, error]) => ({ name, error, status: statusOf(name, error) }))
    .sort((left, right) => left.status - right.status || left.name.localeCompare(right.name, "en"))
    .map(({ name, error, status }) => [String(status), code(name), error.meaning, error.next]);
  return table(["status", "code", "meaning", "next step"], rows);
}

/** Reasons that netmaster and the store give errors, and the names of those without. */
export function reasonsInSources(): readonly string[] {
  const texts = ["netmaster", "state"].flatMap(sourcesBelow);
  const found = texts.flatMap((text) => [...text.matchAll(/(?:\breason:\s*|\bconflict\(\s*)"([a-z][a-z-]*)"/g)]);
  return [...new Set(found.map(([, reason = ""]) => reason))].sort();
}

function sourcesBelow(folder: string): readonly string[] {
  const root = fileURLToPath(new URL(`../../${folder}`, import.meta.url));
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  const isSource = (name: string) => name.endsWith(".ts") && !/\.test\.ts$|testing/.test(name);
  return names.filter(isSource).map((name) => readFileSync(join(root, name), "utf8"));
}
