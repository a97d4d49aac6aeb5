import { cpus, release, totalmem } from "node:os";

/** A figure next to what it is measured by. */
export interface Verdict {
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
  /** Is the measured value to stay below the limit, or to reach it? */
  readonly direction: "at-most" | "at-least";
}

/** First lines of every benchmark: figures mean nothing without the machine. */
export function printMachine(): void {
  const [cpu] = cpus();
  const memoryGib = (totalmem() / 2 ** 30).toFixed(0);
  process.stdout.write(
    `${cpus().length} × ${cpu?.model.trim()}, ${memoryGib} GiB, Linux ${release()}, Node ${process.versions.node}\n\n`,
  );
}

/** A Markdown table, as docs/benchmarks.md takes it. */
export function printTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const cell = (value: string | number) => (typeof value === "number" ? formatNumber(value) : value);
  const all = [head, ...rows.map((row) => row.map(cell))];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) => `| ${row.map((text, i) => text.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const [first = [], ...rest] = all;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  process.stdout.write(`${[line(first), rule, ...rest.map(line)].join("\n")}\n\n`);
}

/** Says of each target whether it is met; the benchmark's exit status tells the same. */
export function printVerdicts(verdicts: readonly Verdict[]): void {
  const rows = verdicts.map((verdict) => {
    const isMet =
      verdict.direction === "at-most" ? verdict.measured <= verdict.limit : verdict.measured >= verdict.limit;
    if (!isMet) process.exitCode = 1;
    const sign = verdict.direction === "at-most" ? "≤" : "≥";
    return [verdict.what, verdict.measured, `${sign} ${verdict.limit}`, isMet ? "met" : "MISSED"];
  });
  printTable(["target", "measured", "wanted", ""], rows);
}

function formatNumber(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}
