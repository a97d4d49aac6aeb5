import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { transform } from "rolldown/utils"; // the compiler that vitest uses

/** A hook of Node.js: compiles .ts files as they are loaded. */
export async function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return await nextLoad(url, context);
  const file = fileURLToPath(url);
  const { code, errors } = await transform(file, await readFile(file, "utf8"), { target: "node20" });
  if (errors.length > 0) throw new SyntaxError(`Cannot compile ${file}: ${errors[0].message}`);
  return { format: "module", source: code, shortCircuit: true };
}
