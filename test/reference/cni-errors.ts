import { cniNextStepsByCode } from "../../netplugin/cni/errors.ts";
import { plain, sentence, table } from "./table.ts";

interface CniError {
  readonly meaning: string;
  readonly next: string;
}

/** Every code that the plugin answers with. Those below 100 are the specification's (1.1.0, "Error"). */
const ERRORS: Readonly<Record<number, CniError>> = {
  1: {
    meaning: "The configuration's `cniVersion` is unknown, or too old for the command.",
    next: "Use one of the versions that `msg` lists.",
  },
  2: {
    meaning:
      "The runtime asks for something that this plugin cannot do: an unknown capability with a value, a MAC address, a device.",
    next: "Take it off `contiv`, or declare it on the plugin that provides it.",
  },
  3: {
    meaning: "CHECK: the container is not attached on this node.",
    next: "Nothing: the runtime deletes the pod and adds it anew.",
  },
  4: {
    meaning:
      "A `CNI_*` variable is missing or invalid; or `CNI_NETNS` does not exist, is no network namespace, is the node's own, or is the patch panel.",
    next: "Correct the variables that `msg` names. `CNI_NETNS_OVERRIDE=1` allows the node's own namespace; nothing allows the panel.",
  },
  5: { meaning: "The call could not be read.", next: "See the runtime's log." },
  6: { meaning: "stdin is no JSON object.", next: "Correct the configuration." },
  7: {
    meaning:
      "A member of the configuration is invalid, or names a tenant, network or group that does not exist; or stdin exceeds 1 MiB.",
    next: "Correct the member or label that `msg` names.",
  },
  11: {
    meaning: "netplugin, netmaster or the switch is away, or too slow. Nothing is left attached.",
    next: "Nothing at first: the runtime tries again. If it stays, see that what `msg` names runs.",
  },
  50: { meaning: "STATUS: an ADD would fail now.", next: "See `msg`." },
  51: { meaning: "STATUS: an ADD would fail now, and running pods suffer, too.", next: "See `msg`." },
  100: { meaning: "Something else that the call needs does not exist.", next: "Create what `msg` names." },
  101: {
    meaning:
      "Something stands in the way: an address (`msg` names the endpoint and pod that has it), an interface name, or the same attachment with other values.",
    next: "Free what is named, or choose another; or delete the attachment and add it anew.",
  },
  102: {
    meaning: "No address is left in the network or the group's pool.",
    next: "Remove pods, or create a larger network or pool.",
  },
  103: { meaning: "netmaster refuses this node.", next: "Check the node's certificate and name." },
  104: {
    meaning: "The kernel or the switch refused.",
    next: "See `details`, netplugin's log, and `/readyz` on the node.",
  },
  105: {
    meaning: "This node cannot do it, for example keep a `strict` limit.",
    next: "See the node's conditions (`GET /api/v1/nodes/`).",
  },
  999: { meaning: "A defect of netplugin.", next: "Report it with netplugin's log." },
};

export function cniErrors(): string {
  const steps = cniNextStepsByCode();
  const listed = Object.keys(ERRORS).map(Number);
  const wrong = [
    ...listed.filter((code) => !steps.has(code)),
    ...[...steps.keys()].filter((code) => !listed.includes(code)),
  ];
  if (wrong.length > 0) throw new Error(`test/reference/cni-errors.ts and the code differ in: ${wrong.join(", ")}`);
  const rows = Object.entries(ERRORS).map(([code, { meaning, next }]) => [code, meaning, next]);
  return table(["code", "meaning", "next step"], rows);
}

/** What `details` ends with. */
export function cniNextSteps(): string {
  const rows = [...cniNextStepsByCode()]
    .sort(([left], [right]) => left - right)
    .flatMap(([code, steps]) => steps.map((step) => [String(code), sentence(plain(step))]));
  return table(["code", "`details` ends with"], rows);
}
