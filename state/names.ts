import { z } from "zod";

const LABELS = "(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\\-]*[a-zA-Z0-9])\\.)*";
const LAST_LABEL = "([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\\-]*[A-Za-z0-9])";
const NAME_PATTERN = new RegExp(`^${LABELS}${LAST_LABEL}$`);
const OPTIONAL_NAME_PATTERN = new RegExp(`^${LABELS}${LAST_LABEL}?$`);

/** What a name may hold, in words; a wrong one follows. */
const NAME_RULE =
  "may hold letters, digits, hyphens and dots, and each part between dots must begin and end with a letter or digit";

/** Longest object name the v1 contract allows, in characters. */
const NAME_MAX_LENGTH = 64;
/** Longest configured tag (`cfgdTag`), in characters. */
const TAG_MAX_LENGTH = 128;

/** Name of an object (N64 of the v1 contract): DNS-like labels, dots and hyphens allowed. */
export const Name = z.string().max(NAME_MAX_LENGTH).regex(NAME_PATTERN, NAME_RULE);

/** Reference to an object that may be left out; empty means none. */
export const OptionalName = z.string().max(NAME_MAX_LENGTH).regex(OPTIONAL_NAME_PATTERN, NAME_RULE).default("");

/** A tag that the admin chose for a network or group; empty means the server's default. */
export const ConfiguredTag = z.string().max(TAG_MAX_LENGTH).regex(OPTIONAL_NAME_PATTERN, NAME_RULE).default("");

/** Name of a cluster node: its host name, never longer than a DNS name. */
export const NodeName = z.string().min(1).max(253).regex(NAME_PATTERN, NAME_RULE).brand<"NodeName">();
export type NodeName = z.infer<typeof NodeName>;
