import { type AddressFamily, formatAddress, parseIpv4, parseIpv6 } from "../../state/address.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import { findEndpoint } from "../inspect/endpoint.ts";
import type { ClusterView } from "../view/types.ts";

export type SideName = "from" | "to";

/** What a client named as one end of a packet. */
export type Place =
  | { readonly is: "address"; readonly family: AddressFamily; readonly address: string }
  | { readonly is: "endpoint"; readonly endpoint: EndpointRecord }
  | { readonly is: "group"; readonly group: EndpointGroupRecord };

/** Looks one end up: an address, a group by its key, or an endpoint as inspect finds it. Yields now and then. */
export function* findPlace(view: ClusterView, side: SideName, text: string): Generator<void, Place> {
  const address = parsePlaceAddress(text);
  if (address !== undefined) return address;
  const [, what, name] = /^(endpoint|group)\/(.*)$/s.exec(text) ?? [];
  const group = what === "endpoint" ? undefined : view.records("endpointGroup").get(name ?? text);
  if (what === "group" && group === undefined) throw unknown(side, `endpoint group ${name} does not exist`);
  if (group === undefined) return { is: "endpoint", endpoint: yield* namedEndpoint(view, side, name ?? text) };
  if (what === undefined && view.records("endpoint").has(text)) {
    const message = `${side}: "${text}" is an endpoint and a group; write endpoint/${text} or group/${text}`;
    throw new NetError("CONFLICT", message, { reason: "ambiguous", field: side });
  }
  return { is: "group", group };
}

function parsePlaceAddress(text: string): Place | undefined {
  const family = text.includes(":") ? 6 : 4;
  const address = family === 6 ? parseIpv6(text) : parseIpv4(text);
  return address === undefined ? undefined : { is: "address", family, address: formatAddress(family, address) };
}

function* namedEndpoint(view: ClusterView, side: SideName, text: string): Generator<void, EndpointRecord> {
  try {
    return yield* findEndpoint(view, text);
  } catch (thrown) {
    const { code, message } = asNetError(thrown, "look an endpoint up");
    if (code === "CONFLICT") throw new NetError(code, `${side}: ${message}`, { reason: "ambiguous", field: side });
    if (code !== "NOT_FOUND") throw thrown;
    throw unknown(
      side,
      `there is no endpoint or pod (name or namespace/name), group (tenant:group) or address "${text}"`,
    );
  }
}

function unknown(side: SideName, message: string): NetError {
  return new NetError("INVALID", `${side}: ${message}`, { reason: "unknown-reference", field: side });
}
