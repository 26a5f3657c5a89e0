/**
 * `bench`: measures, in a few seconds, the latency and the rate of messages that are echoed over the NATS server.
 * @decides `catga bench`: the load that it sends, and the columns that it prints
 */
import { performance } from "node:perf_hooks";
import { type Catga, type Query, query, unwrap } from "../../../mod.ts";
import { token } from "../../ports/clock.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { joinCluster } from "../cluster/join_cluster.ts";
import { disposing } from "../cluster/connection.ts";
import { showMillis } from "../terminal/duration.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { Listing } from "../terminal/listing.ts";

/** The `bench` command of the tool. */
export const bench: CliCommand = {
  name: "bench",
  summary: "measures how fast this server carries an echo",
  needsNats: "it measures nodes on NATS",
  flags: ["seconds", "payload"],
  more: `
Two nodes of the service cli join, both in this process: one sends, one echoes.
Each row takes a second (--seconds), with AT ONCE sends under way. Sender,
receiver and their JSON share one thread, so the figures are for the server and
the network, not for a cluster: two processes on two cores do about twice that.`,
  async run(_, flags, terminal) {
    const seconds = flags.number("seconds", 1, 60) ?? 1;
    const text = "x".repeat(flags.number("payload", 0, 500_000) ?? 26);
    return await ClusterView.during(flags, terminal, async (view) => {
      const Echo = query<string, string>(`cli.Echo-${token(view.transport.random, 8)}`);
      return await disposing(joinCluster(view, flags, terminal), async (client) => {
        const handlers = Echo.handle((payload) => payload);
        return await disposing(joinCluster(view, flags, terminal, { handlers }), async () => {
          unwrap(await client.send(Echo, text)); // the first send waits until the echoing node is known
          const listing = new Listing(terminal, flags.has("json"), COLUMNS);
          for (const atOnce of [1, 64, 1_024]) {
            if (terminal.signal.aborted) break;
            // this run only warms up, so that the runtime compiles the code before the measurement
            await measure(client, Echo, text, { atOnce, ms: 200 });
            const row = await measure(client, Echo, text, { atOnce, ms: seconds * 1_000 });
            const { perSecond, p50, p99 } = row;
            const figures = [atOnce, perSecond].map((figure) => figure.toLocaleString("en"));
            listing.add(row, [...figures, showMillis(p50), showMillis(p99)]);
          }
          listing.end("stopped before the first row");
          return DONE;
        });
      });
    });
  },
};

interface BenchRow {
  readonly atOnce: number;
  readonly perSecond: number;
  /** Median latency of the echoes, in ms. */
  readonly p50: number;
  /** 99th percentile of the echoes' latency, in ms. */
  readonly p99: number;
}

async function measure(
  client: Catga,
  Echo: Query<string, string>,
  text: string,
  { atOnce, ms }: { atOnce: number; ms: number },
): Promise<BenchRow> {
  const times: number[] = [];
  const began = performance.now();
  const end = began + ms;
  const sender = async () => {
    for (let now = performance.now(); now < end;) {
      unwrap(await client.send(Echo, text));
      const then = now;
      now = performance.now();
      times.push(now - then);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, sender));
  const took = performance.now() - began;
  times.sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.floor(times.length * share)] * 1_000) / 1_000;
  return { atOnce, perSecond: Math.round(times.length / took * 1_000), p50: at(0.5), p99: at(0.99) };
}

const COLUMNS = [">AT ONCE", ">SENDS A SECOND", ">P50", ">P99"];
