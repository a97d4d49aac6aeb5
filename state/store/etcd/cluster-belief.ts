/**
 * Which etcd cluster is ours, when the endpoints may name different ones: a member that was restored by itself serves old data as a cluster of
 * its own. A cluster is believed when more than half of the endpoints name it, or, as the first one, when it has at least as many members as there
 * are endpoints: then it answers reads and writes only while most of them take part, which one member by itself never has.
 */
export class ClusterBelief {
  readonly #endpointCount: number;
  /** By endpoint: what its last answer named. */
  readonly #named = new Map<number, string>();
  readonly #memberCounts = new Map<string, number>();
  #ours: string | undefined;

  constructor(endpointCount: number) {
    this.#endpointCount = endpointCount;
  }

  /** Undefined as long as none is believed. */
  get ours(): string | undefined {
    return this.#ours;
  }

  /** Takes over from somebody who knows. */
  adopt(clusterId: string): void {
    this.#ours = clusterId;
  }

  /** How many members a cluster says that it has. */
  learn(clusterId: string, memberCount: number): void {
    this.#memberCounts.set(clusterId, memberCount);
  }

  /** Notes which cluster an endpoint's answer names; false: not ours, so that the answer must not be used. */
  isOurs(endpointIndex: number, clusterId: string): boolean {
    this.#named.set(endpointIndex, clusterId);
    if (clusterId === this.#ours) return true;
    if (!this.#isMajority(clusterId) && !(this.#ours === undefined && this.#isComplete(clusterId))) return false;
    this.#ours = clusterId;
    return true;
  }

  #isMajority(clusterId: string): boolean {
    const agreeing = [...this.#named.values()].filter((named) => named === clusterId).length;
    return agreeing * 2 > this.#endpointCount;
  }

  #isComplete(clusterId: string): boolean {
    return (this.#memberCounts.get(clusterId) ?? 0) >= this.#endpointCount;
  }
}
