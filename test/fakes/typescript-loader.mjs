// Lets worker threads of tests run the TypeScript sources under a Node.js that cannot: vitest compiles for its own module runner only.
import { register } from "node:module";

register("./typescript-hooks.mjs", import.meta.url);
