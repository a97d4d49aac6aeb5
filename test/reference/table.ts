/** A table of Markdown; cells are Markdown already. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.map(oneLine).join(" | ")} |`).join("\n");
}

function oneLine(cell: string): string {
  return cell.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").trim();
}

/** As code. */
export function code(text: string): string {
  return `\`${text}\``;
}

/** Text with signs that Markdown or HTML would take for their own. */
export function plain(text: string): string {
  return text.replaceAll("<", "&lt;").replaceAll("*", "\\*");
}

/** Begins with a capital and ends with a full stop. */
export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
