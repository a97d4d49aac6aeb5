/**
 * Whether a command's output is as a page shows it. `…` within a line stands for anything in that line, `…` as a line of its own for any number
 * of lines; spaces at the ends of lines and empty lines at the end do not count. JSON that was printed as one line may be shown as several.
 */
export function isAsShown(shown: string, output: string): boolean {
  const isJson = /^[[{]/.test(shown) && /^[[{].*$/.test(output.trim());
  const pattern = (isJson ? joined(shown) : trimmed(shown))
    .split("\n")
    .map((line) => (line.trim() === "…" ? "(?:.*\n)*?" : `${line.split("…").map(escaped).join(".*")}\n`))
    .join("");
  return new RegExp(`^${pattern}$`).test(`${trimmed(output)}\n`);
}

function joined(json: string): string {
  return json
    .split("\n")
    .map((line) => line.trim())
    .join("");
}

function trimmed(text: string): string {
  return text.replaceAll(/[ \t\r]+$/gm, "").trimEnd();
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
