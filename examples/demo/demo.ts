/**
 * `deno task demo`: three nodes of the orders service and a client that sends 500 orders a second. One node is killed
 * with orders in hand, leaves the view, and comes back. At the end every acknowledged order is looked up in what the
 * handlers wrote down before they answered.
 *
 *   deno run -A examples/demo/demo.ts        bun run examples/demo/demo.ts
 *   deno task demo --dashboard               four times as long, with a page that shows it in a browser
 *
 * Needs nothing: nats-server comes from the PATH or the net. Where there is none, the demo runs in memory, and says so.
 * The exit code is 1 when an order was lost or ran twice, or when the kill did not come about.
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { catga, type Logger } from "@catga/catga";
import { OrderCreated } from "../orders/orders.ts";
import { audit } from "./audit.ts";
import { openDashboard } from "./dashboard.ts";
import { Load } from "./load.ts";
import { paintWith } from "./paint.ts";
import { ms, type NodePicture, paceOf, type Picture, seconds, type Tone } from "./picture.ts";
import { LIVE, screenOf } from "./screen.ts";
import { Stage } from "./stage.ts";
import { faults, type Kill, LEAST_IN_HAND, type Report, summary } from "./summary.ts";

const RATE = 500;
const NODES = ["node-1", "node-2", "node-3"];
const VICTIM = "node-2";
/** Durations of the parts of the demo, in ms: before the kill, after the leave, after the return. */
const PACE = process.argv.includes("--dashboard") ? 4 : 1;
const CALM = 5_000 * PACE;
const ALONE = 2_000 * PACE;
const AGAIN = 4_500 * PACE;
/** Maximum time for which a change of the cluster is awaited, in ms. */
const LIMIT = 30_000;
/** Time after which an order that was sent to a node has certainly arrived there, in ms. */
const SETTLED = 3;

const stage = new Stage();
const screen = screenOf();
const dashboard = new AbortController();
let ending = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => end(130, "interrupted"));
run().then((code) => end(code), (error: Error) => end(1, error.message));

/** Ends the demo, once: restores the terminal, stops all processes and removes all files. */
async function end(code: number, why?: string): Promise<void> {
  if (ending) return;
  ending = true;
  screen.close();
  dashboard.abort();
  if (why !== undefined) console.error(`\n${why}`);
  await stage.close().catch((error: Error) => console.error(`not everything could be cleaned up: ${error.message}`));
  process.exit(code);
}

/** Runs the demo. Resolves with the exit code; rejects if a part of it cannot be started. */
async function run(): Promise<number> {
  const states = new Map<string, NodePicture["state"]>();
  const unexpected: string[] = [];
  const routable: number[] = [];
  let began = performance.now();
  const event = (text: string, tone?: Tone) => screen.event(performance.now() - began, text, tone);
  console.log("looking for a nats-server");
  const { nodes, title } = await stage.open((id, how) => {
    states.set(id, "gone");
    unexpected.push(`${id}: ${how}`);
    event(`${id}: ${how.split("\n")[0]}`, "bad");
  });
  if (PACE > 1) await showDashboard();
  began = performance.now();
  const load = new Load(RATE);

  screen.open(() => look());
  event(`${NODES.length} nodes start`);
  // one after the other, so that each has the machine for itself while its start is timed
  for (const id of NODES) await start(id);
  let heard = 0;
  const handlers = OrderCreated.on(() => heard++);
  const client = await catga({ ...nodes.connection, id: "client", service: "shop", handlers, logger: loggerTo(event) });
  if (!await until(() => NODES.every((id) => endpointOf(id)))) throw new Error("the client does not see every node");
  event(`all in view, each within ${Math.ceil(Math.max(...routable))} ms of catga(); ${RATE} orders a second`);
  load.start(client);
  await delay(CALM);

  const victim = endpointOf(VICTIM)!;
  const busy = () => load.inHand(victim, SETTLED) >= LEAST_IN_HAND;
  // at a moment when nothing is on its way to it, so that the count is exact
  await until(() => busy() && load.inHand(victim, SETTLED) === load.inHand(victim));
  const inHand = load.inHand(victim, SETTLED);
  nodes.kill(VICTIM);
  const killed = performance.now();
  states.set(VICTIM, "killed");
  event(`${VICTIM} killed with ${inHand} orders in hand (${nodes.killing})`, "bad");
  await until(() => load.inHand(victim) === 0);
  const told = load.all.filter(({ node, code }) => node?.endpoint === victim && code === "OUTCOME_UNKNOWN")
    .map(({ endedAt }) => endedAt - killed);
  const avoided = Math.max(0, load.lastPlaced(victim) - killed);
  event(`${ms(avoided)} on, traffic avoids it; ${told.length} callers told OUTCOME_UNKNOWN`);
  const left = await until(() => endpointOf(VICTIM) !== victim) ? performance.now() - killed : undefined;
  event(
    left === undefined ? `${VICTIM} is still in view` : `${VICTIM} left the view, ${seconds(left)} s after the kill`,
  );
  states.set(VICTIM, "gone");
  await delay(ALONE);

  event(`${VICTIM} starts again`);
  await start(VICTIM);
  const handledAgain = () =>
    load.all.some(({ node, code }) => node?.id === VICTIM && node.endpoint !== victim && code === "ok");
  const back = await until(handledAgain);
  event(`${VICTIM} is back${back ? " and handles orders" : ", but handles none"}`, back ? "good" : "bad");
  await delay(AGAIN);

  await load.stop();
  event("no more orders; all are drained");
  await client.drain();
  await nodes.stop();
  for (const id of NODES) states.set(id, "drained");
  screen.close();
  const kill: Kill = { node: VICTIM, inHand, avoided, told, left, back };
  return conclude(load, { kill, routable, heard, unexpected });

  async function start(id: string): Promise<void> {
    states.set(id, "starting");
    routable.push(await nodes.start(id));
    states.set(id, "live");
  }

  function endpointOf(id: string): string | undefined {
    return client.nodes().find((node) => node.id === id)?.endpoint;
  }

  function look(): Picture {
    const now = performance.now();
    const { all } = load;
    const codes = (wanted: (code: string) => boolean) => all.filter(({ code }) => code !== undefined && wanted(code));
    const succeeded = codes((code) => code === "ok");
    return {
      title,
      elapsed: now - began,
      nodes: NODES.map((id) => ({
        id,
        where: nodes.where(id),
        state: states.get(id) ?? "starting",
        inHand: all.filter(({ node, code }) => node?.id === id && code === undefined).length,
        handled: succeeded.filter(({ node }) => node?.id === id).length,
      })),
      pace: paceOf(all, load.startedAt || now, now),
      counts: {
        sent: all.length,
        succeeded: succeeded.length,
        unknown: codes((code) => code === "OUTCOME_UNKNOWN").length,
        failed: codes((code) => code !== "ok" && code !== "OUTCOME_UNKNOWN").length,
      },
    };
  }
}

/** Prints the address of the page that shows the cluster. */
async function showDashboard(): Promise<void> {
  const { url } = stage;
  if (url === undefined) return console.log("--dashboard: there is none of a network in memory");
  console.log(`the dashboard of the cluster: ${await openDashboard(url, dashboard.signal)}`);
}

/** Compares the results that callers got with the disk, prints the summary, and returns the exit code. */
async function conclude(
  { all }: Load,
  rest: Pick<Report, "kill" | "routable" | "heard" | "unexpected">,
): Promise<number> {
  const told = all.map(({ messageId, orderId, code = "never answered" }) => ({ messageId, orderId, code }));
  const latencies = all.filter(({ code }) => code === "ok").map(({ sentAt, endedAt }) => endedAt - sentAt);
  const report = { ...rest, sent: all.length, latencies, audit: audit(told, await stage.book.entries()) };
  console.log(["", ...summary(report, paintWith(LIVE)), ""].join("\n"));
  return faults(report).length === 0 ? 0 : 1;
}

/** Resolves with true once the condition holds, with false if it does not within {@link LIMIT}. */
async function until(condition: () => unknown): Promise<boolean> {
  const limit = performance.now() + LIMIT;
  while (!condition()) {
    if (performance.now() > limit) return false;
    await delay(2);
  }
  return true;
}

/** Makes a logger that shows warnings and errors of the client as events: other output would tear the screen. */
function loggerTo(event: (text: string) => void): Logger {
  const say = (message: string) => event(message.split("\n")[0]);
  return { debug() {}, info() {}, warn: say, error: say };
}
