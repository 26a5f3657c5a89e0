/**
 * pg-boss over PostgreSQL: jobs of groups of which so many run at once over all nodes (`groupConcurrency`), which it
 * asks its database for. The arguments: `node` or `client`, and the options, with the database.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { answer } from "../programs/answer.ts";
import { now, started } from "../programs/remote.ts";

/** What is used of it. */
interface Boss {
  on(event: "error", listener: (error: unknown) => void): void;
  start(): Promise<void>;
  createQueue(name: string): Promise<void>;
  insert(name: string, jobs: readonly { data: unknown; group: { id: string } }[]): Promise<unknown>;
  work(
    name: string,
    options: Record<string, unknown>,
    handler: (jobs: readonly unknown[]) => Promise<void>,
  ): Promise<unknown>;
}

const { side, options: { database } } = started();
const { socket, client } = database!; // the section has one
const { PgBoss } = createRequire(join(client, "pg-boss"))("pg-boss") as {
  PgBoss: new (options: Record<string, unknown>) => Boss;
};
const boss = new PgBoss({ host: socket, user: "tea", database: "postgres", supervise: side === "client" });
boss.on("error", console.error);
await boss.start();
const QUEUE = "charges";
if (side === "client") await boss.createQueue(QUEUE);
let [count, last] = [0, 0];
if (side === "node") {
  await boss.work(
    QUEUE,
    { groupConcurrency: 5, batchSize: 50, localConcurrency: 8, pollingIntervalSeconds: 0.5 },
    (jobs) => {
      count += jobs.length;
      last = now();
      return Promise.resolve();
    },
  );
}

answer({
  async publish({ tenants, count }: { tenants: number; count: number }): Promise<number> {
    for (let at = 0; at < count; at += 1_000) {
      const jobs = Array.from({ length: Math.min(1_000, count - at) }, (_, i) => ({
        data: { n: at + i },
        group: { id: `${(at + i) % tenants}` },
      }));
      await boss.insert(QUEUE, jobs);
    }
    return now();
  },
  charging: () => ({ count, last }),
});
