import { expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { failureLog } from "./failure-log.ts";

it("a failure that comes again is one warning a minute, and none while the switch is away", () => {
  const warnings: object[] = [];
  const now = { isConnected: true, ms: 0 };
  const report = failureLog({
    log: { debug: () => undefined, info: () => undefined, warn: (fields) => void warnings.push(fields) },
    ...{ sentence: "It cannot be done", isConnected: () => now.isConnected, nowMs: () => now.ms },
  });
  for (const text of ["a", "a", "b"]) report(new NetError("REJECTED", text));
  now.isConnected = false;
  report(new NetError("UNAVAILABLE", "c"));
  now.isConnected = true;
  now.ms = 60_000;
  report(new NetError("REJECTED", "b"));
  expect(warnings).toMatchObject([{ error: "a" }, { error: "b" }, { error: "b" }]);
});
