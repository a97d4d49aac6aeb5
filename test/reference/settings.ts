import type { Option } from "commander";
import { netmasterOptions } from "../../netmaster/config.ts";
import { netpluginOptions } from "../../netplugin/settings.ts";
import { code, plain, sentence, table } from "./table.ts";

export function netmasterSettings(): string {
  return settingsTable(netmasterOptions(), "CONTIV_NETMASTER_");
}

export function netpluginSettings(): string {
  return settingsTable(netpluginOptions(), "CONTIV_NETPLUGIN_");
}

/** Commander counts --version among the options. */
function settingsTable(options: readonly Option[], prefix: string): string {
  const shown = options.filter((option) => !option.hidden && option.name() !== "version");
  const rows = shown.map((option) => [
    code(option.long ?? option.flags),
    code(`${prefix}${option.name().replaceAll("-", "_").toUpperCase()}`),
    writtenAs(option),
    sentence(plain(meaningOf(option))),
    defaultOf(option),
  ]);
  return table(["flag", "variable", "value", "meaning", "default"], rows);
}

function writtenAs({ flags, argChoices }: Option): string {
  if (argChoices !== undefined) return argChoices.map(code).join(", ");
  return /<(.+)>/.exec(flags)?.[1] ?? "switch";
}

const IN_WORDS = / ?\((?:default|env): ([^)]+)\)/g;

function meaningOf({ description }: Option): string {
  return description.replaceAll(IN_WORDS, "");
}

/** Some stand in the description: where there is none, or where it follows from another setting. */
function defaultOf({ flags, description, defaultValue, defaultValueDescription }: Option): string {
  const told = [...description.matchAll(IN_WORDS)].find(([all]) => all.includes("default:"))?.[1];
  if (told !== undefined) return plain(told);
  if (!flags.includes("<")) return code("false");
  if (defaultValueDescription !== undefined) return valueInWords(defaultValueDescription);
  return defaultValue === undefined ? "–" : code(String(defaultValue));
}

function valueInWords(text: string): string {
  return text.includes(" ") ? plain(text) : code(text);
}
