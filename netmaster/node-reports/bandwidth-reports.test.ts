import { expect, it } from "vitest";
import type { BandwidthReport } from "../../state/bandwidth/report.ts";
import { createBandwidthReports } from "./bandwidth-reports.ts";

const direction = { bitPerSecond: 1, totalBytes: 2 };
const report = (key: string) => ({ key, overMs: 10_000, podIngress: direction, podEgress: direction });

it("keeps what nodes told of their endpoints for a while", () => {
  const reports = createBandwidthReports<BandwidthReport>();
  reports.note("n1", [report("a"), report("b")], 0);
  reports.note("n1", [report("c")], 20_000);
  expect(reports.find("n1", "a", 20_000)).toEqual(report("a"));
  expect(reports.find("n2", "a", 20_000)).toBeUndefined();
  expect(reports.find("n1", "a", 31_000)).toBeUndefined();
  expect(reports.find("n1", "c", 31_000)).toEqual(report("c"));
  reports.keep((name) => name !== "n1");
  expect(reports.find("n1", "c", 31_000)).toBeUndefined();
});
