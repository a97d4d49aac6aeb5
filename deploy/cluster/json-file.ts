import { renameSync, writeFileSync } from "node:fs";

/** Writes a value in one step: whoever is killed meanwhile leaves the file of before, never half of the new one. */
export function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, JSON.stringify(value));
  renameSync(`${path}.new`, path);
}
