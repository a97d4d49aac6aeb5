import { type Attachment, isSameFacts, POD_ROLE } from "./attachment.ts";

/** What is to be seen of a place now. */
export interface ShownPlaces {
  /** What its marks say; undefined where no driver shows it, or it has none. */
  at(place: string): Attachment | undefined;
  /** The number that the switch gives it, whatever its marks say. */
  ofportAt(place: string): number | undefined;
}

interface Change {
  readonly place: string;
  readonly before: Attachment | undefined;
  readonly now: Attachment | undefined;
}

/**
 * Whose each place is, kept up place by place: a node has hundreds, and what changes changes one. A pod's place stays its own until
 * `forget` or `remember`, whatever is shown; of two places of one endpoint the one that was first has it.
 */
export class AttachmentIndex {
  readonly #places = new Map<string, Attachment>();
  #byEndpoint: ReadonlyMap<string, Attachment> = new Map();
  #ofports: ReadonlyMap<string, number> = new Map();

  /** By endpoint; the same map until something changes. */
  get attachments(): ReadonlyMap<string, Attachment> {
    return this.#byEndpoint;
  }

  /** Of what is plugged in, by endpoint; the same map until something changes. */
  get ofports(): ReadonlyMap<string, number> {
    return this.#ofports;
  }

  /** Looks at places of which something else may be shown than before. */
  follow(shown: ShownPlaces, places: Iterable<string>): void {
    const changes: Change[] = [];
    for (const place of places) {
      const before = this.#places.get(place);
      const isKept = before !== undefined && this.#isKept(before);
      const now = isKept ? keptAs(before, shown) : shown.at(place);
      if (now !== before) changes.push({ place, before, now });
    }
    if (changes.length > 0) this.#apply(changes);
  }

  /** The place is this attachment's, and this is the endpoint's place. The one that it had before, if any, wants a look then. */
  remember(attachment: Attachment): string | undefined {
    const { portName: place, endpointKey } = attachment;
    const elsewhere = this.#byEndpoint.get(endpointKey)?.portName;
    this.#apply([{ place, before: this.#places.get(place), now: attachment }]);
    if (elsewhere === undefined || elsewhere === place) return undefined;
    this.#byEndpoint = new Map(this.#byEndpoint).set(endpointKey, attachment);
    this.#ofports = withOfports(this.#ofports, [endpointKey], this.#byEndpoint);
    return elsewhere;
  }

  /** The place is nobody's, whatever it shows; it wants a look then. */
  forget(place: string): void {
    const before = this.#places.get(place);
    if (before !== undefined) this.#apply([{ place, before, now: undefined }]);
  }

  #isKept(attachment: Attachment): boolean {
    return attachment.role === POD_ROLE && this.#byEndpoint.get(attachment.endpointKey) === attachment;
  }

  #apply(changes: readonly Change[]): void {
    const byEndpoint = new Map(this.#byEndpoint);
    const freed = new Set<string>();
    for (const { place, before, now } of changes) {
      if (now === undefined) this.#places.delete(place);
      else this.#places.set(place, now);
      if (before === undefined || this.#byEndpoint.get(before.endpointKey) !== before) continue;
      byEndpoint.delete(before.endpointKey);
      freed.add(before.endpointKey);
    }
    // What a place keeps goes before what is new elsewhere.
    const isKept = ({ before, now }: Change) =>
      freed.has(now?.endpointKey ?? "") && before?.endpointKey === now?.endpointKey;
    const given = new Set<string>();
    for (const { now } of [...changes.filter(isKept), ...changes]) {
      if (now === undefined || byEndpoint.get(now.endpointKey)?.role === POD_ROLE) continue;
      byEndpoint.set(now.endpointKey, now);
      given.add(now.endpointKey);
    }
    for (const endpointKey of freed) {
      const other = byEndpoint.has(endpointKey) ? undefined : this.#otherPlaceOf(endpointKey);
      if (other !== undefined) byEndpoint.set(endpointKey, other);
    }
    if (freed.size + given.size === 0) return; // of an endpoint that has another place
    this.#byEndpoint = byEndpoint;
    this.#ofports = withOfports(this.#ofports, [...freed, ...given], byEndpoint);
  }

  #otherPlaceOf(endpointKey: string): Attachment | undefined {
    for (const attachment of this.#places.values()) if (attachment.endpointKey === endpointKey) return attachment;
    return undefined;
  }
}

/** The number is the switch's to say; whose the port is, no row can change. */
function keptAs(attachment: Attachment, shown: ShownPlaces): Attachment {
  const found = shown.at(attachment.portName);
  if (found !== undefined && isSameFacts(found, attachment)) return found;
  const ofport = shown.ofportAt(attachment.portName);
  return attachment.ofport === ofport ? attachment : { ...attachment, ofport };
}

/** The same map when nothing of it has changed: the flow set takes that as "nothing has changed". */
function withOfports(
  ofports: ReadonlyMap<string, number>,
  endpointKeys: readonly string[],
  attachments: ReadonlyMap<string, Attachment>,
): ReadonlyMap<string, number> {
  let changed: Map<string, number> | undefined;
  for (const key of endpointKeys) {
    const ofport = attachments.get(key)?.ofport;
    if ((changed ?? ofports).get(key) === ofport) continue;
    changed ??= new Map(ofports);
    if (ofport === undefined) changed.delete(key);
    else changed.set(key, ofport);
  }
  return changed ?? ofports;
}
