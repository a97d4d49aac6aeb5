import type { TableSpecs } from "./columns.ts";
import { Keeper } from "./keeper.ts";
import type { Replica, ReplicaOptions } from "./replica.ts";

/**
 * Opens a replica and waits for the first complete picture, however often the server must be tried. UNAVAILABLE when
 * there is none in time, UNSUPPORTED when the schema lacks what is asked for. `signal` ends the replica.
 */
export async function openReplica<const T extends TableSpecs>(
  socketPath: string,
  options: ReplicaOptions<T>,
): Promise<Replica<T>> {
  const keeper = new Keeper<T>(socketPath, options);
  try {
    await keeper.firstPicture();
    return keeper;
  } catch (thrown) {
    await keeper[Symbol.asyncDispose]();
    throw thrown;
  }
}
