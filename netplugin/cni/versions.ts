/** Versions of the CNI specification that this plugin speaks, oldest first; cni-shim/contiv.c prints the same list. */
export const CNI_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

/** What a configuration without `cniVersion` means (libcni). */
export const DEFAULT_CNI_VERSION: CniVersion = "0.1.0";

/** The supported version of that name, if there is one. */
export function findCniVersion(text: string): CniVersion | undefined {
  return CNI_VERSIONS.find((version) => version === text);
}

/** True when `version` is `minimum` or later. */
export function isAtLeast(version: CniVersion, minimum: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(minimum);
}
