import { NetError } from "./errors.ts";

const MEANINGS: ReadonlyMap<string, boolean> = new Map([
  ...["true", "1", "yes", "on"].map((text) => [text, true] as const),
  ...["false", "0", "no", "off", ""].map((text) => [text, false] as const),
]);

/** What an environment variable says of a setting that is on or off; absent is off. @throws NetError INVALID */
export function isSwitchedOn(env: Readonly<Record<string, string | undefined>>, variable: string): boolean {
  const text = env[variable] ?? "";
  const meaning = MEANINGS.get(text.toLowerCase());
  if (meaning !== undefined) return meaning;
  throw new NetError("INVALID", `${variable} must be true or false, not "${text.slice(0, 40)}"`, { field: variable });
}
