const MAC_LENGTH = 17;
const [COLON, DOT, ZERO, NINE] = [0x3a, 0x2e, 0x30, 0x39];

/** Text of a MAC address to its 48 bits as a number; undefined when it is not one. Called for every flow, so it makes nothing. */
export function parseMac(text: string): number | undefined {
  if (text.length !== MAC_LENGTH) return undefined;
  let value = 0;
  for (let at = 0; at < MAC_LENGTH; at++) {
    const code = text.charCodeAt(at);
    if (at % 3 === 2) {
      if (code !== COLON) return undefined;
      continue;
    }
    const digit = hexDigit(code);
    if (digit < 0) return undefined;
    value = value * 16 + digit;
  }
  return value;
}

/** Negative when it is none. */
function hexDigit(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

export function formatMac(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  let text = hex.slice(0, 2);
  for (let at = 2; at < 12; at += 2) text += `:${hex.slice(at, at + 2)}`;
  return text;
}

/** Text of an IPv4 address, decimal without leading zeros, to its 32 bits as a number; undefined when it is not one. */
export function parseIpv4(text: string): number | undefined {
  let [value, part, digits, dots] = [0, 0, 0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT) {
      if (digits === 0 || ++dots > 3) return undefined;
      value = value * 256 + part;
      [part, digits] = [0, 0];
    } else {
      if (code < ZERO || code > NINE || (digits > 0 && part === 0)) return undefined;
      part = part * 10 + code - ZERO;
      digits += 1;
      if (part > 255) return undefined;
    }
  }
  return dots === 3 && digits > 0 ? value * 256 + part : undefined;
}

export function formatIpv4(bytes: Buffer): string {
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

/** Groups of one side of `::`; a dotted IPv4 address may stand last of all. */
function parseGroups(text: string, isLast: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    const dotted = isLast && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (dotted !== undefined) groups.push(dotted >>> 16, dotted & 0xffff);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

export function parseIpv6(text: string): Buffer | undefined {
  const [left = "", right, ...more] = text.split("::");
  const head = parseGroups(left, right === undefined);
  const tail = right === undefined ? [] : parseGroups(right, true);
  if (head === undefined || tail === undefined || more.length > 0) return undefined;
  const missing = 8 - head.length - tail.length;
  if (right === undefined ? missing !== 0 : missing < 1) return undefined;
  const bytes = Buffer.alloc(16);
  for (const [index, group] of head.entries()) bytes.writeUInt16BE(group, index * 2);
  for (const [index, group] of tail.entries()) bytes.writeUInt16BE(group, (head.length + missing + index) * 2);
  return bytes;
}

/** RFC 5952: the first longest run of at least two zero groups becomes `::`. */
export function formatIpv6(bytes: Buffer): string {
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes.readUInt16BE(at));
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}

/** Number of leading one-bits when the rest are zeros; undefined for a mask with holes. */
export function prefixLength(mask: Buffer): number | undefined {
  let length = 0;
  while (length < mask.length * 8 && bitAt(mask, length) === 1) length++;
  for (let bit = length; bit < mask.length * 8; bit++) if (bitAt(mask, bit) === 1) return undefined;
  return length;
}

function bitAt(bytes: Buffer, bit: number): number {
  return ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
}

export function prefixMask(length: number, byteCount: number): Buffer {
  const mask = Buffer.alloc(byteCount);
  for (let bit = 0; bit < length; bit++) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return mask;
}
