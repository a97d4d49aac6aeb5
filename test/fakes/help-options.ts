/** The options of a help text, each on one line. */
export function optionsOf(help: string): readonly string[] {
  const [, options = ""] = help.split("Options:");
  return options
    .split(/\n(?= {2}-)/)
    .map((option) => option.replaceAll(/\s+/g, " ").trim())
    .filter((option) => option !== "");
}
