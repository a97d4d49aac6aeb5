import { cniErrors, cniNextSteps } from "./cni-errors.ts";
import { netmasterMetrics, netpluginMetrics, processMetrics } from "./metrics.ts";
import { objectTables } from "./objects.ts";
import { restErrors } from "./rest-errors.ts";
import { netmasterSettings, netpluginSettings } from "./settings.ts";

type Made = () => string | Promise<string>;

/** What of each page is made from the code, by the name in its marks. */
export const PAGES: Readonly<Record<string, Readonly<Record<string, Made>>>> = {
  "docs/objects.md": { objects: objectTables },
  "docs/reference/settings.md": { netmaster: netmasterSettings, netplugin: netpluginSettings },
  "docs/reference/metrics.md": { netmaster: netmasterMetrics, netplugin: netpluginMetrics, process: processMetrics },
  "docs/reference/cni-errors.md": { codes: cniErrors, details: cniNextSteps },
  "docs/reference/rest-errors.md": { codes: restErrors },
};

const SECTION = /(<!-- made: ([a-z ]+) -->\n).*?(<!-- end -->)/gs;

/** The page as it should be: what stands between its marks is made anew. */
export async function filled(text: string, made: Readonly<Record<string, Made>>): Promise<string> {
  const names = [...text.matchAll(SECTION)].map(([, , name = ""]) => name);
  const wrong = [...names.filter((name) => made[name] === undefined), ...missing(made, names)];
  if (wrong.length > 0) throw new Error(`The page's marks and what is made differ in: ${wrong.join(", ")}`);
  const parts = new Map<string, string>();
  for (const name of names) parts.set(name, (await made[name]?.()) ?? "");
  return text.replaceAll(SECTION, (_, begin: string, name: string, end: string) => {
    return `${begin}\n${parts.get(name)}\n\n${end}`;
  });
}

function missing(made: Readonly<Record<string, Made>>, names: readonly string[]): readonly string[] {
  return Object.keys(made).filter((name) => !names.includes(name));
}
