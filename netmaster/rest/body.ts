import { NetError } from "../../state/errors.ts";

/** Largest request body, in bytes. */
export const BODY_LIMIT_BYTES = 1_048_576;
/** Deepest nesting of lists and objects in a body; the contract's own bodies need 3. */
const MAX_DEPTH = 32;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads a JSON body (contract §1); the member `__proto__` is dropped wherever it stands. */
export function parseBody(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined || bytes.length === 0) throw malformed("The body is empty; send a JSON object");
  const text = decode(bytes);
  checkDepth(text);
  try {
    return text.includes("__proto__") || text.includes("\\u") ? JSON.parse(text, dropPrototype) : JSON.parse(text);
  } catch (error) {
    throw malformed(`The body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed("The body is not UTF-8");
  }
}

function dropPrototype(key: string, value: unknown): unknown {
  return key === "__proto__" ? undefined : value;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** Looks at brackets outside of strings only: whether they match is the parser's business. */
function checkDepth(text: string): void {
  let depth = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) isInString = !isInString;
    else if (isInString) index += code === BACKSLASH ? 1 : 0;
    else if (CLOSING.has(code)) depth -= 1;
    else if (OPENING.has(code)) depth += 1;
    if (depth > MAX_DEPTH) throw malformed(`The body is nested deeper than ${MAX_DEPTH} levels`);
  }
}

function malformed(message: string): NetError {
  return new NetError("INVALID", message, { reason: "malformed-body" });
}
