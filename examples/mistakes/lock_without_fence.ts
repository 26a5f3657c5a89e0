/** A lock protects a file, and the file takes writes of any holder: one that was paused overwrites the next one's. */
import { command, type Context } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Count = command<void, number>("Count", { timeout: 60_000 });

/** A file on a shared disk, outside of the cluster. With tokens it refuses those of earlier holders. */
class SharedFile {
  value = 0;
  #token = 0;

  read(token = this.#token): number {
    this.#see(token);
    return this.value;
  }

  write(value: number, token = this.#token): void {
    this.#see(token);
    this.value = value;
  }

  #see(token: number): void {
    if (token < this.#token) throw new Error(`token ${token} is older than ${this.#token}`);
    this.#token = token;
  }
}

async function count(file: SharedFile, ctx: Context, isFenced: boolean): Promise<number> {
  await using lock = await ctx.lock("file", { ttl: 1_000 });
  const token = isFenced ? [lock.token] : [];
  const value = file.read(...token);
  await ctx.clock.sleep(300); // computes the next value
  file.write(value + 1, ...token);
  return value + 1;
}

export const lockWithoutFence = mistake<SharedFile>("a lock without a fence at the store", {
  world: () => new SharedFile(),
  workload: async ({ app, step, clock }) => {
    const counts: Promise<unknown>[] = [];
    for (let n = 0; n < 6; n++) {
      counts.push(step("count", () => app.send(Count)));
      await clock.sleep(400);
    }
    await Promise.all(counts);
  },
  check: [guarantees(Count), ({ history, world }) => {
    const counted = history.operations.filter(({ method, outcome }) => method === "send" && outcome?.type === "ok");
    if (world.value < counted.length) {
      throw new Error(`${counted.length} counts are ok, and the file has ${world.value}`);
    }
  }],
}, {
  handlers: ({ world }) => Count.handle((_, ctx) => count(world, ctx, false)),
}, {
  handlers: ({ world }) => Count.handle((_, ctx) => count(world, ctx, true)),
});
