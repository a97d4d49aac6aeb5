import type { Socket } from "node:net";

/** Calls back for every JSON object on the socket; anything else closes it, as the real server does. */
export function readObjects(socket: Socket, onObject: (json: Readonly<Record<string, unknown>>) => void): void {
  let text = "";
  let scanned = 0;
  let depth = 0;
  let quoted = false;
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
    for (; scanned < text.length; scanned++) {
      const character = text[scanned];
      if (quoted && character === "\\") scanned++;
      else if (character === '"') quoted = !quoted;
      else if (!quoted && character === "{") depth++;
      else if (!quoted && character === "}" && --depth === 0) {
        if (!deliver(text.slice(0, scanned + 1))) return;
        text = text.slice(scanned + 1);
        scanned = -1;
      }
    }
  });

  function deliver(object: string): boolean {
    try {
      onObject(refuseBadText(JSON.parse(object) as Readonly<Record<string, unknown>>));
      return true;
    } catch (thrown) {
      if (!(thrown instanceof SyntaxError)) throw thrown;
      socket.destroy();
      return false;
    }
  }
}

/** The real parser takes neither NUL nor half a surrogate pair. */
function refuseBadText<T>(json: T): T {
  if (/\\u0000|\\ud[89a-f]/i.test(JSON.stringify(json))) throw new SyntaxError("bad text");
  return json;
}
