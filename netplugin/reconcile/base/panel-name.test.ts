import pino from "pino";
import { describe, expect, it } from "vitest";
import { PanelName } from "./panel-name.ts";

/** Says of each look what the panel does: has its name, gets it back, or fails with that text. */
function world() {
  const lines: string[] = [];
  let next: boolean | string = false;
  const ensureName = () => {
    if (typeof next === "string") throw new Error(next);
    return next;
  };
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => lines.push(line) });
  const name = new PanelName({ panel: { ensureName }, name: "panel", log });
  return {
    name,
    look: (outcome: boolean | string) => {
      next = outcome;
      name.look();
      return lines.splice(0).map((line) => String(JSON.parse(line).msg));
    },
  };
}

describe("the name of the panel's namespace", () => {
  it("is not spoken of while it is there", () => {
    const { name, look } = world();
    expect(look(false)).toEqual([]);
    expect(name.fault()).toBeUndefined();
  });

  it("is told once when it came back", () => {
    const { name, look } = world();
    expect(look(true)).toEqual(['Network namespace "panel" had lost its name; it has it again']);
    expect(name.fault()).toBeUndefined();
    expect(look(false)).toEqual([]);
  });

  it("that cannot be given back is told once, and is a fault until it is there", () => {
    const { name, look } = world();
    expect(look("it is a directory")).toEqual(['Network namespace "panel" has lost its name; netplugin tries again']);
    expect(name.fault()).toMatch(/it is a directory; when netplugin ends now, all pods of this node lose/);
    expect(look("it is a directory")).toEqual([]);
    expect(look("no memory")).toHaveLength(1);
    expect(name.fault()).toContain("no memory");
    expect(look(true)).toHaveLength(1);
    expect(name.fault()).toBeUndefined();
  });

  it("that somebody else gave back is told too", () => {
    const { name, look } = world();
    look("it is a directory");
    expect(look(false)).toEqual(['Network namespace "panel" has its name again']);
    expect(name.fault()).toBeUndefined();
  });
});
