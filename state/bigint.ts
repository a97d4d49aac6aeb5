export function minBigint(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

export function maxBigint(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
