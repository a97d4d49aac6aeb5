import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { Maskable } from "../../../drivers/ovs/openflow/values.ts";
import { type AddressFamily, formatAddress } from "../../../state/address.ts";
import type { NumberRange } from "../../../state/allocators/id-pool.ts";
import { prefixesOf } from "../../../state/policy/prefix.ts";
import { IpProtocol, protocolNumber } from "../../../state/policy/protocol.ts";
import type { FamilyRange, ResolvedRule } from "../../../state/policy/rule-match.ts";
import { EtherType } from "../pipeline/actions.ts";
import { Register } from "../pipeline/pipeline.ts";

/** Fields of each family. */
const FIELDS = {
  4: { ethType: EtherType.ipv4, src: "ipv4Src", dst: "ipv4Dst" },
  6: { ethType: EtherType.ipv6, src: "ipv6Src", dst: "ipv6Dst" },
} as const;
const ADDRESS_BITS = { 4: 32, 6: 128 } as const;
const PORT_BITS = 16;

/**
 * The packets that a rule is for, as matches without the rule's set. Families, prefixes of an address range and blocks of ports are
 * multiplied; the peer's group is one register, however many members it has.
 */
export function ruleMatches(rule: ResolvedRule): Match[] {
  return ([4, 6] as const).flatMap((family) =>
    placeMatches(rule, family).flatMap((place) =>
      transportMatches(rule, family).map((transport) => ({
        ...{ ...groupMatch(rule), ethType: FIELDS[family].ethType },
        ...{ ...place, ...transport },
      })),
    ),
  );
}

/** Where packets of one family come from and go to; one empty match when everywhere will do. */
function placeMatches({ direction, peerRanges, ownAddresses }: ResolvedRule, family: AddressFamily): Match[] {
  const { src, dst } = FIELDS[family];
  const [peerField, ownField] = direction === "in" ? [src, dst] : [dst, src];
  const owns = addressTexts(ownAddresses === undefined ? undefined : [ownAddresses], family);
  return addressTexts(peerRanges, family).flatMap((peer) =>
    owns.map((own) => ({
      ...(peer === undefined ? {} : { [peerField]: peer }),
      ...(own === undefined ? {} : { [ownField]: own }),
    })),
  );
}

function groupMatch({ direction, peerGroupId }: ResolvedRule): Match {
  if (peerGroupId === undefined) return {};
  return { [direction === "in" ? Register.sourceGroupId : Register.destinationGroupId]: peerGroupId };
}

/** Prefixes of one family; one undefined when every address will do. */
function addressTexts(ranges: readonly FamilyRange[] | undefined, family: AddressFamily): (string | undefined)[] {
  if (ranges === undefined) return [undefined];
  const prefixes = ranges.filter((range) => range.family === family).flatMap(prefixesOf);
  return prefixes.map(({ first, prefixLength }) => {
    const text = formatAddress(family, first);
    return prefixLength === ADDRESS_BITS[family] ? text : `${text}/${prefixLength}`;
  });
}

function transportMatches({ protocol, ports }: ResolvedRule, family: AddressFamily): Match[] {
  const ipProto = protocolNumber(protocol, family);
  if (ipProto === undefined) return [{}];
  if (ports.length === 0) return [{ ipProto }];
  const field = protocol === IpProtocol.tcp ? "tcpDst" : "udpDst";
  return ports.flatMap(portBlocks).map((port) => ({ ipProto, [field]: port }));
}

/**
 * Later fragments show no ports, and in IPv6 no protocol either: a rule that denies one of them denies every fragment that may be of
 * it. (A rule that allows some of a protocol matches none, for it asks for what they do not show.)
 */
export function fragmentMatches(rule: ResolvedRule): Match[] {
  if (rule.action !== "deny") return [];
  return ([4, 6] as const).flatMap((family) =>
    fragmentTransport(rule, family).flatMap((transport) =>
      placeMatches(rule, family).map((place) => ({
        ...{ ethType: FIELDS[family].ethType, ipFrag: "later" as const },
        ...{ ...groupMatch(rule), ...place, ...transport },
      })),
    ),
  );
}

/** One match where the rule's other flows leave out some of its fragments. */
function fragmentTransport({ protocol, ports }: ResolvedRule, family: AddressFamily): Match[] {
  const ipProto = protocolNumber(protocol, family);
  if (ipProto === undefined) return [];
  if (family === 6) return [{}];
  return ports.length === 0 ? [] : [{ ipProto }];
}

/** The fewest blocks (value and mask) that hold exactly the ports of a range. */
export function portBlocks({ first, last }: NumberRange): Maskable<number>[] {
  const blocks: Maskable<number>[] = [];
  for (let at = first; at <= last; ) {
    let bits = 0;
    while (bits < PORT_BITS && at % 2 ** (bits + 1) === 0 && at + 2 ** (bits + 1) - 1 <= last) bits += 1;
    blocks.push(bits === 0 ? at : { value: at, mask: 0xffff & ~(2 ** bits - 1) });
    at += 2 ** bits;
  }
  return blocks;
}
