import { asNetError } from "../../../state/errors.ts";
import { ownBridges, rootRow, type SwitchDatabase } from "../database.ts";
import { NIC_KEY, uplinkBridgeName } from "../names.ts";
import { mutate } from "../ovsdb-client/operations.ts";
import type { LeftOverUplink } from "../types.ts";
import { type UndoOptions, undoUplink } from "./undo.ts";
import type { UplinkSpec } from "./uplink.ts";
import { forgetNic, replacement, savedState, savedStateOrNone } from "./uplink-memory.ts";

/*
 * Whoever wants a NIC back asks the daemon, which alone moves addresses while it runs: by a key of the root row, which outlives
 * the daemon and the bridge. The daemon deletes the key when all is done, or puts its refusal there.
 */
const REQUEST_PREFIX = "contiv-give-back:";
const ASKED = "asked";

export interface LeftOverParts extends UndoOptions {
  readonly uplinks: readonly UplinkSpec[];
}

/** Uplink bridges whose NICs the configuration does not name any more. They stay until somebody asks: an admin may be there by them. */
export class LeftOverUplinks {
  readonly #parts: LeftOverParts;
  readonly #failures = new Map<string, string>();

  constructor(parts: LeftOverParts) {
    this.#parts = parts;
  }

  list(): readonly LeftOverUplink[] {
    const { database, uplinks } = this.#parts;
    const configured = new Set(uplinks.map(({ nic }) => nic));
    return uplinkNics(database)
      .filter((nic) => !configured.has(nic))
      .map((nic) => ({ nic, bridge: uplinkBridgeName(nic), warning: this.#warningOf(nic) }));
  }

  /** Has anybody asked who has no answer yet? */
  isAsked(): boolean {
    return askedNics(this.#parts.database).length > 0;
  }

  /** Gives back what is asked for; what fails is tried again with the next call. */
  async giveBackAsked({ follow }: { readonly follow: (change: string) => void }): Promise<void> {
    const { database } = this.#parts;
    for (const nic of askedNics(database)) {
      const refusal = this.#refusalOf(nic);
      try {
        if (refusal !== undefined) await answer(nic, refusal, database);
        else {
          await giveBack(nic, this.#parts);
          follow(`NIC ${nic} is given back, and its bridge ${uplinkBridgeName(nic)} is removed, as asked for`);
        }
        this.#failures.delete(nic);
      } catch (error) {
        this.#failures.set(nic, asNetError(error, `give NIC "${nic}" back`).message);
      }
    }
  }

  #refusalOf(nic: string): string | undefined {
    const { uplinks, database } = this.#parts;
    const uplink = uplinks.find((each) => each.nic === nic);
    return uplink === undefined ? notLeftOver(nic, database) : isConfigured(uplink);
  }

  #warningOf(nic: string): string {
    const bridge = uplinkBridgeName(nic);
    const { addresses } = savedStateOrNone(nic, this.#parts.database);
    const where = `the NIC's addresses (${addresses.join(", ")}) are still on the bridge, where netplugin does not restore them any more, for instance when the node restarts`;
    const failure = this.#failures.get(nic);
    return [
      `bridge ${bridge} with NIC "${nic}" is left over from an earlier configuration, and no --uplink names this NIC now`,
      ...(addresses.length === 0 ? [] : [where]),
      ...(failure === undefined ? [] : [`it cannot be given back: ${failure}; netplugin tries again`]),
      `to give the NIC back and remove the bridge, run on this node: netplugin cleanup --only-uplink ${nic}`,
    ].join("; ");
  }
}

/** NICs for which there is an uplink bridge of ours. */
export function uplinkNics(database: SwitchDatabase): readonly string[] {
  return ownBridges(database).flatMap(({ name, external_ids: ids }) => {
    const nic = ids.get(NIC_KEY);
    return nic !== undefined && uplinkBridgeName(nic) === name ? [nic] : [];
  });
}

export function isConfigured({ alias, nic }: UplinkSpec): string {
  return `NIC "${nic}" is a configured uplink (--uplink ${alias}=${nic}); take it out of the settings and restart netplugin first`;
}

/** Why there is nothing to give back to a NIC; a bridge that somebody deleted by hand has left the NIC bare. */
export function notLeftOver(nic: string, database: SwitchDatabase): string | undefined {
  const nics = uplinkNics(database);
  if (nics.includes(nic) || savedState(nic, database) !== undefined) return undefined;
  const all = nics.map((each) => `${uplinkBridgeName(each)} (${each})`);
  return `there is no uplink bridge of contiv with NIC "${nic}" on this node; uplink bridges are: ${all.join(", ") || "none"}`;
}

/** Gives back and forgets the NIC, also one that is not there any more, and the request. */
export async function giveBack(nic: string, parts: UndoOptions): Promise<void> {
  const { database } = parts;
  await undoUplink(nic, parts);
  const mutations = replacement(rootRow(database).external_ids, `${REQUEST_PREFIX}${nic}`, undefined);
  const request = mutations.length === 0 ? [] : [mutate("Open_vSwitch", [], mutations)];
  const operations = [...forgetNic(nic, database), ...request];
  if (operations.length > 0) await database.transact(operations);
}

function askedNics(database: SwitchDatabase): readonly string[] {
  return [...rootRow(database).external_ids].flatMap(([key, text]) =>
    text === ASKED && key.startsWith(REQUEST_PREFIX) ? [key.slice(REQUEST_PREFIX.length)] : [],
  );
}

export function ask(nic: string, database: SwitchDatabase): Promise<void> {
  return writeRequest(nic, ASKED, database);
}

function answer(nic: string, refusal: string, database: SwitchDatabase): Promise<void> {
  return writeRequest(nic, refusal, database);
}

export function withdraw(nic: string, database: SwitchDatabase): Promise<void> {
  return writeRequest(nic, undefined, database);
}

/** Open: nobody has answered; a text: why it was refused; undefined: it is done. */
export function answerTo(nic: string, database: SwitchDatabase): "open" | { readonly refusal: string } | undefined {
  const text = rootRow(database).external_ids.get(`${REQUEST_PREFIX}${nic}`);
  if (text === undefined) return undefined;
  return text === ASKED ? "open" : { refusal: text };
}

async function writeRequest(nic: string, text: string | undefined, database: SwitchDatabase): Promise<void> {
  const mutations = replacement(rootRow(database).external_ids, `${REQUEST_PREFIX}${nic}`, text);
  if (mutations.length > 0) await database.transact([mutate("Open_vSwitch", [], mutations)]);
}
