import { expect, it } from "vitest";
import type { LinkChange } from "../../../drivers/netlink/link-monitor.ts";
import { followLinks } from "./follow-links.ts";

it("begins with a look at everything, and ends with its signal without a report", async () => {
  const ending = new AbortController();
  const reports: string[] = [];
  const change = await new Promise<LinkChange>((resolve) => {
    void followLinks(resolve, {
      monitor: {},
      gatherMs: 1,
      doing: "watch links",
      signal: ending.signal,
      report: ({ message }) => reports.push(message),
    }).then(() => reports.push("ended"));
  });
  expect(change.kind).toBe("resync");
  ending.abort();
  await expect.poll(() => reports).toEqual(["ended"]);
});
