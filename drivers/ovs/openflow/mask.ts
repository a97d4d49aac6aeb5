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
