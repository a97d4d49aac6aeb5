/** Text of an address to its bytes; undefined when it is not one. */
export function parseMac(text: string): Buffer | undefined {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

export function formatMac(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  let text = hex.slice(0, 2);
  for (let at = 2; at < 12; at += 2) text += `:${hex.slice(at, at + 2)}`;
  return text;
}

export function parseIpv4(text: string): Buffer | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (parts === null) return undefined;
  const bytes = Buffer.from([Number(parts[1]), Number(parts[2]), Number(parts[3]), Number(parts[4])]);
  const isDecimal = parts.slice(1).every((part, index) => part === String(bytes[index]));
  return isDecimal ? bytes : undefined;
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
    if (dotted !== undefined) groups.push(dotted.readUInt16BE(0), dotted.readUInt16BE(2));
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
