import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { Action } from "./action.ts";
import { createWriter, written } from "./bytes.ts";
import { MATCH_FIELDS } from "./fields.ts";
import { putFlowMod } from "./flow-codec.ts";
import { OFPT, putMessage } from "./message.ts";
import { MESSAGE_CASES } from "./testing/message-cases.ts";
import { ACTION_CASES, MATCH_CASES } from "./testing/print-cases.ts";

const run = promisify(execFile);

/** What ovs-ofctl makes of messages, one process for all: one text per message. */
async function printed(messages: readonly Buffer[]): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), "ofp-"));
  try {
    const file = join(directory, "messages");
    await writeFile(file, Buffer.concat(messages));
    const { stdout } = await run("ovs-ofctl", ["ofp-parse", file], { maxBuffer: 1 << 26 });
    return joinBundled(stdout.trimEnd().split(/\n(?=(?:OFPT|OFPST|NXT|NXST)_\S+ (?:\S+ )?\(OF1\.\d\) \(xid=)/));
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** A message inside a bundle-add is printed like one of its own. */
function joinBundled(texts: readonly string[]): string[] {
  const joined: string[] = [];
  for (const text of texts) {
    const last = joined.at(-1);
    const isInside = last?.startsWith("OFPT_BUNDLE_ADD") && !last.includes("_MOD");
    if (isInside) joined[joined.length - 1] = `${last}\n${text}`;
    else joined.push(text);
  }
  return joined;
}

function flowMod(match: (typeof MATCH_CASES)[number][0], actions: readonly Action[]): Buffer {
  const flow = { table: 0, priority: 1, cookie: 0n, match, actions };
  const writer = createWriter();
  putMessage(writer, OFPT.flowMod, 1, (out) => putFlowMod(out, { kind: "flow-add", flow }));
  return written(writer);
}

const FLOW_MOD = "OFPT_FLOW_MOD (OF1.5) (xid=0x1): ADD priority=1";

describe("ovs-ofctl reads what we write", () => {
  it("in matches", async () => {
    const texts = await printed(MATCH_CASES.map(([match]) => flowMod(match, [])));
    const expected = MATCH_CASES.map(([, text]) => `${FLOW_MOD}${text && ","}${text} actions=drop`);
    expect(texts).toEqual(expected);
  });

  it("in actions", async () => {
    const texts = await printed(ACTION_CASES.map(([match, actions]) => flowMod(match, actions)));
    const shown = texts.map((text) => text.slice(text.indexOf("actions=") + "actions=".length));
    expect(shown).toEqual(ACTION_CASES.map(([, , text]) => text));
  });

  it("in all other messages", async () => {
    const texts = await printed(MESSAGE_CASES.map(({ message }) => message()));
    const names = MESSAGE_CASES.map(({ name }) => name);
    const found = Object.fromEntries(names.map((name, index) => [name, texts[index]?.replaceAll(/ *\n */g, " | ")]));
    expect(found).toEqual(Object.fromEntries(MESSAGE_CASES.map(({ name, text }) => [name, text])));
  });

  it("with no field or action left out", () => {
    const matched = new Set(MATCH_CASES.flatMap(([match]) => Object.keys(match)));
    const unmatched = MATCH_FIELDS.map(({ name }) => name).filter((name) => !matched.has(name));
    expect(unmatched.filter((name) => !/^reg\d/.test(name))).toEqual([]);
    const set = new Set(ACTION_CASES.flatMap(([, actions]) => actions).flatMap(setFields));
    const unset = MATCH_FIELDS.filter(({ writable, name }) => writable && !set.has(name)).map(({ name }) => name);
    expect(unset.filter((name) => !/^reg\d/.test(name))).toEqual(["tunIpv6Src", "tunFlags"]);
  });
});

function setFields(action: Action): string[] {
  if (action.kind === "setField") return [action.field];
  return action.kind === "ct" ? (action.exec ?? []).flatMap(setFields) : [];
}
