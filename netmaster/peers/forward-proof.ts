import { createHmac, timingSafeEqual } from "node:crypto";

/** What a netmaster that forwards a request says of it. */
export interface ForwardClaim {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly url: string;
  /** The netmaster that forwards. */
  readonly self: string;
  /** Who sent the request to it. */
  readonly client: string;
}

/** Proves the claim with the leader's key, which only who reads the store knows: netmasters. */
export function forwardProof(key: string, { method, url, self, client }: ForwardClaim): string {
  return createHmac("sha256", key)
    .update(JSON.stringify([method, url, self, client]))
    .digest("base64url");
}

/** Was the claim made by somebody who knows the key? */
export function isProven(key: string, claim: ForwardClaim, proof: string): boolean {
  const [given, wanted] = [Buffer.from(proof), Buffer.from(forwardProof(key, claim))];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
