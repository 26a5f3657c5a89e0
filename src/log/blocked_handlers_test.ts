/**
 * Handlers that block the event loop of their process, as one that computes does: with whole apps in memory, on virtual
 * time. A handler stops its process, which goes on later with all that has waited for it.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { command, event } from "../contract/declaration/definition.ts";
import type { Handler, SubscriptionOptions } from "../contract/declaration/handler.ts";
import type { MessageContext } from "../dispatch/message_context.ts";
import type { CatgaOptions } from "../catga.ts";
import { BEFORE_RELEASE } from "../../test/support/before_release.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { ofThisRuntime } from "../../test/support/of_this_runtime.ts";

interface Step {
  readonly key: string;
  readonly n: number;
}
const Stepped = event<Step>("Stepped", { durable: true, key: ({ key }) => key });
const Work = command<Step>("Work", { durable: true, key: ({ key }) => key });
/** Key of the message whose handler blocks. */
const SLOW = "slow";
const ATTEMPTS = 3;

/** A message whose handler blocks its process for `block` ms, then succeeds, or fails. */
interface Scene {
  readonly kind: "event" | "batch" | "command";
  readonly nodes: number;
  readonly block: number;
  readonly timeout: number | undefined;
  readonly fails?: boolean;
  /** Which of the keys is that of the slow message: it decides which node gets it. */
  readonly key?: string;
}

/** Nodes that handle messages, one of which blocks each process that handles it. */
class Blocking implements AsyncDisposable {
  /** The runs of the slow message: their attempts, in order. */
  readonly attempts: number[] = [];
  readonly handled = new Set<number>();
  readonly cluster = new MemoryCluster();
  readonly #scene: Scene;
  published = 0;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  async start(): Promise<void> {
    for (let i = 1; i <= this.#scene.nodes; i++) await this.cluster.start(`n${i}`, this.#options);
  }

  get #options(): CatgaOptions {
    const { kind, timeout } = this.#scene;
    const settings: SubscriptionOptions = {
      name: "steps",
      from: "start",
      timeout,
      retry: { attempts: ATTEMPTS, delay: [100, 100] },
    };
    const one = async (step: Step, ctx: Pick<MessageContext, "attempt" | "node" | "clock">) =>
      await this.#run(step, ctx);
    const handlers: Handler = kind === "event"
      ? Stepped.on(one, settings)
      : kind === "command"
      ? Work.handle(one, { retry: { attempts: ATTEMPTS, delay: [100, 100] } })
      : Stepped.onBatch(async (batch, ctx) => {
        for (const { payload, attempt } of batch) {
          await this.#run(payload, { attempt, node: ctx.node, clock: ctx.clock });
        }
      }, { ...settings, max: 10, within: 50 });
    return { handlers, service: "s", timeout };
  }

  async #run({ key, n }: Step, { attempt, node, clock }: Pick<MessageContext, "attempt" | "node" | "clock">) {
    const { block, fails = false } = this.#scene;
    if (key !== (this.#scene.key ?? SLOW)) return void this.handled.add(n);
    this.attempts.push(attempt);
    this.cluster.network.pause(node);
    this.cluster.clock.after(block, () => this.cluster.network.resume(node));
    await clock.sleep(0); // the process goes on when it is no longer blocked
    if (fails) throw new Error("after all");
    this.handled.add(n);
  }

  async publish(key: string): Promise<void> {
    const { kind } = this.#scene;
    const n = this.published++;
    // a client of its own: no blocked process
    const client = this.cluster.apps.get("client") ?? await this.cluster.start("client", { handlers: [] });
    const sent = kind === "command" ? client.enqueue(Work, { key, n }) : client.publish(Stepped, { key, n });
    assert((await this.cluster.clock.until(sent)).ok);
  }

  async letters(): Promise<string[]> {
    const client = this.cluster.apps.get("client")!; // it has published
    const all = async () => (await Array.fromAsync(client.deadLetters())).map(({ key }) => `${key}`);
    return await this.cluster.clock.until(all());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}

/** Plays a scene: the slow message, then others for as long as it may take to settle. Returns what came of it. */
async function play(
  scene: Scene,
): Promise<{ attempts: number[]; unhandled: number[]; letters: string[]; alarms: string[] }> {
  await using played = new Blocking(scene);
  await played.start();
  const { clock } = played.cluster;
  await played.publish("first");
  await clock.advance(3_000);
  await played.publish(scene.key ?? SLOW);
  const rounds = Math.ceil((scene.block * (ATTEMPTS + 2) + 90_000) / 5_000);
  for (let i = 0; i < rounds; i++) {
    await clock.advance(5_000);
    if (i < rounds - 15) await played.publish(`k${i % 5}`);
  }
  const unhandled = Array.from({ length: played.published }, (_, n) => n).filter((n) => !played.handled.has(n));
  const all = [...played.cluster.apps.values()].flatMap((app) => app.health().alarms);
  const alarms = all.flatMap(({ kind, message }) => kind === "loop-blocked" ? [message] : []);
  return { attempts: played.attempts, unhandled, letters: await played.letters(), alarms };
}

/**
 * Maximum number of runs of a message: its attempts; more if processes are blocked for longer than a
 * leader waits for them (13 s), because of several messages there nobody knows which has begun.
 */
function most(block: number): number {
  return block > 13_000 ? 3 * ATTEMPTS : ATTEMPTS;
}

const long = { timeout: 300_000 };
/** Durations of a block, in ms: before a release all of them, else three. */
const BLOCKS = BEFORE_RELEASE ? [1_000, 2_500, 4_000, 7_000, 12_000, 20_000, 31_000, 60_000] : [4_000, 12_000, 60_000];
const SETTINGS = [[1, "slow"], [2, "slow"], [2, "zz"], [3, "x"], [4, "order-17"]] as const;
/** The scenes that each test plays: in each runtime each block, and each setting. */
const CELLS = ofThisRuntime(BLOCKS.flatMap((block) => SETTINGS.map(([nodes, key]) => ({ block, nodes, key }))));

describe("a handler that blocks its process", () => {
  for (const kind of ["event", "batch", "command"] as const) {
    for (const timeout of [undefined, 2_000]) {
      const limit = timeout === undefined ? "its default timeout" : `a timeout of ${timeout} ms`;
      it(`${kind}, ${limit}: the others are handled, and no message but the slow one dies`, long, async () => {
        for (const { block, nodes, key } of CELLS) {
          const { attempts, unhandled, letters } = await play({ kind, nodes, block, timeout, key });
          const isSettled = unhandled.every((n) => n === 1) && letters.every((each) => each === key);
          const said = { block, nodes, key, attempts, unhandled, letters };
          assert(isSettled && (unhandled.length === 0 || letters.length > 0), JSON.stringify(said));
          assert(attempts.length <= most(block), JSON.stringify(said));
          assert(attempts.every((each, i) => i === 0 || each >= attempts[i - 1]), JSON.stringify(said));
        }
      });
    }
  }

  it("is named by an alarm, with the time for which the loop stood", async () => {
    for (const nodes of [1, 2]) {
      const { alarms } = await play({ kind: "event", nodes, block: 7_000, timeout: undefined });
      assertEquals(alarms.length, 1);
      assertMatch(alarms[0], /^The event loop of s\/n\d stood still for 7\.\d s while a handler of Stepped ran/);
    }
  });

  it("is not named by one when a handler takes seconds while its node drains, or the wall clock is set", async () => {
    for (const what of ["drain", "clock"] as const) {
      await using cluster = new MemoryCluster();
      const { clock, network } = cluster;
      const begun = Promise.withResolvers<void>();
      const handlers = Stepped.on(async (_, ctx) => {
        begun.resolve();
        await ctx.clock.sleep(5_000);
      }, { name: "steps" });
      const app = await cluster.start("n1", { handlers, service: "s" });
      assert((await clock.until(app.publish(Stepped, { key: "k", n: 1 }))).ok);
      await clock.until(begun.promise);
      await clock.advance(1_000);
      if (what === "clock") network.skew("n1", 60_000);
      else void app.drain();
      await clock.advance(10_000);
      assertEquals(cluster.log.filter((line) => line.includes("stood still")), [], what);
    }
  });

  it("counts one attempt for each time that it blocks and fails", long, async () => {
    for (const cell of CELLS) {
      const { attempts, unhandled, letters } = await play({ kind: "event", timeout: undefined, fails: true, ...cell });
      const said = JSON.stringify({ ...cell, attempts, unhandled, letters });
      assertEquals([unhandled, letters], [[1], [cell.key]], said);
      assert(attempts.every((each, i) => i === 0 || each >= attempts[i - 1]), said);
      assert(attempts.length >= ATTEMPTS && attempts.length <= most(cell.block), said);
    }
  });
});
