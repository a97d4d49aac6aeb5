/** A command of a page, with what the page shows below it. */
export interface Step {
  /** Line of the page, from 1. */
  readonly line: number;
  readonly command: string;
  /** `…` stands for anything. Undefined: the output is not shown, only success counts. */
  readonly output: string | undefined;
}

/** A fenced block of commands. */
export interface Block {
  readonly page: string;
  readonly line: number;
  /** Why it cannot run in a test. */
  readonly skip?: string;
  /** The machines that run it, one after the other; none named: the page's own. */
  readonly machines: readonly string[];
  /** A command is repeated until its output is as shown, for at most so long. */
  readonly withinMs: number;
  readonly steps: readonly Step[];
}

interface Fence {
  readonly indent: string;
  readonly kind: string;
  readonly rest: string;
}

interface Numbered {
  readonly text: string;
  readonly line: number;
}

const ATTRIBUTE = /([\w-]+)="([^"]*)"/g;
const KNOWN = ["skip", "on", "within"];
const MAX_WITHIN_S = 60;

/**
 * The blocks of a Markdown page that hold commands: ```console with prompts (`$ `, continued by `> ` or after `\`) and output, and ```bash, which
 * is pasted as it stands. A block that is wrongly written is an error that names page and line.
 */
export function blocksOf(page: string, text: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let index = 0; index < lines.length; index++) {
    const fence = fenceOf(lines[index] ?? "");
    if (fence === undefined) continue;
    const end = lines.findIndex((line, at) => at > index && line.trim() === "```");
    if (end === -1) throw new Error(`${page}:${index + 1}: the block has no end`);
    const body = lines.slice(index + 1, end).map((line, at) => ({
      text: line.startsWith(fence.indent) ? line.slice(fence.indent.length) : line,
      line: index + 2 + at,
    }));
    if (fence.kind === "console" || fence.kind === "bash") blocks.push(blockOf(page, index + 1, fence, body));
    index = end;
  }
  return blocks;
}

function fenceOf(line: string): Fence | undefined {
  const match = /^( *)```([\w-]*)(.*)$/.exec(line);
  return match === null ? undefined : { indent: match[1] ?? "", kind: match[2] ?? "", rest: match[3] ?? "" };
}

function blockOf(page: string, line: number, { kind, rest }: Fence, body: readonly Numbered[]): Block {
  const where = `${page}:${line}`;
  const attributes = attributesOf(where, rest);
  const steps = kind === "console" ? stepsOf(page, body) : [pasted(body)];
  const skip = attributes.get("skip");
  return {
    page,
    line,
    ...(skip === undefined ? {} : { skip }),
    machines: (attributes.get("on") ?? "").split(",").filter((name) => name !== ""),
    withinMs: withinMs(where, attributes.get("within")),
    steps,
  };
}

function attributesOf(where: string, rest: string): ReadonlyMap<string, string> {
  const attributes = new Map([...rest.matchAll(ATTRIBUTE)].map(([, name = "", value = ""]) => [name, value.trim()]));
  const left = rest.replaceAll(ATTRIBUTE, "").trim();
  if (left !== "") throw new Error(`${where}: "${left}" behind the fence is no attribute="value"`);
  const unknown = [...attributes.keys()].filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) throw new Error(`${where}: unknown attribute ${unknown.join(", ")}; there are ${KNOWN}`);
  if (attributes.get("skip") === "") throw new Error(`${where}: skip needs a reason`);
  return attributes;
}

function withinMs(where: string, text = "0s"): number {
  const seconds = Number(/^(\d+)s$/.exec(text)?.[1] ?? Number.NaN);
  if (seconds <= MAX_WITHIN_S) return seconds * 1_000;
  throw new Error(`${where}: within="${text}" is not 0s to ${MAX_WITHIN_S}s`);
}

function pasted(body: readonly Numbered[]): Step {
  return { line: body[0]?.line ?? 0, command: body.map(({ text }) => text).join("\n"), output: undefined };
}

function stepsOf(page: string, body: readonly Numbered[]): readonly Step[] {
  const steps: { line: number; command: string[]; output: string[] }[] = [];
  for (const { text, line } of body) {
    const step = steps.at(-1);
    const isContinued = step?.output.length === 0 && (step.command.at(-1)?.endsWith("\\") ?? false);
    if (text.startsWith("$ ")) steps.push({ line, command: [text.slice(2)], output: [] });
    else if (step === undefined) throw new Error(`${page}:${line}: output before the first command ("$ …")`);
    else if (isContinued) step.command.push(text.startsWith("> ") ? text.slice(2) : text);
    else if (step.output.length === 0 && (text === ">" || text.startsWith("> "))) step.command.push(text.slice(2));
    else step.output.push(text);
  }
  return steps.map(({ line, command, output }) => ({
    line,
    command: command.join("\n"),
    output: output.join("\n").trimEnd(),
  }));
}
