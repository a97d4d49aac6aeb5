import { z } from "zod";

/** What pods can be attached by. A network names one; what names none is `ovs`, as everything that earlier releases have stored. */
export const DriverName = z.enum(["ovs", "vhost-user", "sriov", "macvlan", "ipvlan", "ptp"]);
export type DriverName = z.infer<typeof DriverName>;

const DEFAULT_DRIVER: DriverName = "ovs";

/** Where a driver may be named. */
interface Named {
  readonly driver?: DriverName | undefined;
}

export function driverOf({ driver }: Named): DriverName {
  return driver ?? DEFAULT_DRIVER;
}

/** The member as it is stored and told: the default is left out, so that earlier releases and exact readers see what they always saw. */
export function namedDriver(driver: DriverName): { readonly driver?: DriverName } {
  return driver === DEFAULT_DRIVER ? {} : { driver };
}
