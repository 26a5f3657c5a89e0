/** A command reads the stock, waits for something, and writes what it has read, less one: others did the same. */
import { command, type Context, fail } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Take = command<{ sku: string }, void, "SOLD_OUT">("Take", { timeout: 5_000 });

/** A database with one row, outside of the cluster. */
class Stock {
  left = FULL;

  async #network({ clock }: Context): Promise<void> {
    await clock.sleep(20);
  }

  async read(ctx: Context): Promise<number> {
    await this.#network(ctx);
    return this.left;
  }

  async write(left: number, ctx: Context): Promise<void> {
    await this.#network(ctx);
    this.left = left;
  }

  /** Writes unless the row has changed: `UPDATE … WHERE left = ?`. Says whether it did. */
  async replace(before: number, left: number, ctx: Context): Promise<boolean> {
    await this.#network(ctx);
    if (this.left !== before) return false;
    this.left = left;
    return true;
  }
}

const FULL = 100;

export const readWaitWrite = mistake<Stock>("a command that reads, waits and writes", {
  world: () => new Stock(),
  workload: async ({ app, step, clock, random }) => {
    const takes: Promise<unknown>[] = [];
    for (let n = 0; n < 8; n++) {
      takes.push(step("take", () => app.send(Take, { sku: "tea" })));
      await clock.sleep(random.int(0, 100));
    }
    await Promise.all(takes);
  },
  check: [guarantees(Take), ({ history, world }) => {
    const taken = history.operations.filter(({ outcome }) => outcome?.type === "ok").length;
    if (FULL - world.left < taken) throw new Error(`${taken} were sold, and ${FULL - world.left} are missing`);
  }],
}, {
  handlers: ({ world }) =>
    Take.handle(async (_, ctx) => {
      const left = await world.read(ctx);
      if (left === 0) return fail("SOLD_OUT", "none is left");
      await world.write(left - 1, ctx);
    }),
}, {
  handlers: ({ world }) =>
    Take.handle(async (_, ctx) => {
      while (true) {
        const left = await world.read(ctx);
        if (left === 0) return fail("SOLD_OUT", "none is left");
        if (await world.replace(left, left - 1, ctx)) return;
      }
    }),
});
