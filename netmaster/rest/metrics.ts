import { Gauge, Histogram, type Registry } from "prom-client";

/** What the REST API counts. */
export interface RestMetrics {
  observe(request: {
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly seconds: number;
  }): void;
  readonly watches: Gauge;
}

/** Bounds of the latency buckets, in seconds. */
const BUCKETS_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5];

export function restMetrics(registry: Registry): RestMetrics {
  const durations = new Histogram({
    name: "contiv_netmaster_rest_request_duration_seconds",
    help: "Time from a request's arrival to the end of its reply, watches excluded.",
    labelNames: ["method", "route", "status"],
    buckets: BUCKETS_SECONDS,
    registers: [registry],
  });
  const watches = new Gauge({
    name: "contiv_netmaster_rest_watches",
    help: "Watch streams that are open.",
    registers: [registry],
  });
  return {
    observe: ({ method, route, status, seconds }) => durations.observe({ method, route, status }, seconds),
    watches,
  };
}
