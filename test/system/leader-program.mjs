// A process that leads, to be stopped and blocked as a whole; leader-process.ts starts it and gives the orders.
// Argument: the folder of the compiled product.
import { randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";

const { openEtcdStore } = await import(pathToFileURL(`${process.argv[2]}/state/store/etcd/store.js`).href);
let store;
let leadership;

process.on("message", async (order) => process.send(await carryOut(order)));
process.on("disconnect", () => process.exit());
process.send("ready");

async function carryOut(order) {
  switch (order.is) {
    case "lead":
      store = await openEtcdStore({ endpoints: order.endpoints });
      leadership = await store.campaign(order.campaign);
      return answer();
    case "block":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, order.ms);
      return await answerWithLoss();
    case "await-stop":
      awaitStop(order.ms);
      return await answerWithLoss();
    case "write": {
      const puts = [{ key: order.key, value: "x" }];
      const commit = { requestId: randomUUID(), guards: [leadership.guard], puts, deletes: [] };
      return { ...answer(), committed: (await store.commit(commit)).committed };
    }
    default:
      throw new Error(`unknown order ${order.is}`);
  }
}

function answer() {
  return { epoch: String(leadership.epoch), isValid: leadership.valid() };
}

async function answerWithLoss() {
  const atOnce = answer();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const { reason } = leadership.lost;
  return reason === undefined ? atOnce : { ...atOnce, lost: reason.message };
}

/** Looks at the clock without pause, until time has jumped. */
function awaitStop(ms) {
  for (let before = performance.now(); ; ) {
    const now = performance.now();
    if (now - before > ms) return;
    before = now;
  }
}
