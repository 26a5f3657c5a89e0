/** Tests of frames that arrive late, and of clocks that jump. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { catga, type CatgaOptions } from "../../catga.ts";
import type { Clock } from "../../ports/clock.ts";
import { command, query } from "../../contract/declaration/definition.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Result } from "../../contract/calls/result.ts";

const Do = command<number, string>("Do");
const Left = query<void, number>("Left");
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;

/** Maximum drift that is allowed for two clocks in the half minute of a test, in ms. */
const DRIFT = 30;

/**
 * Starts two nodes: `server` handles commands and records them; `client` sends them. Each node may have a wall clock of
 * its own.
 */
async function pair(options: CatgaOptions = {}) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const jumps = { server: 0, client: 0 };
  const connect = network.connect.bind(network);
  network.connect = (options) => {
    const connection = connect(options);
    const own = connection.programClock;
    const name = options?.name as keyof typeof jumps;
    const jumping: Clock = { ...own, now: () => own.now() + jumps[name] };
    return Object.assign(connection, { clock: jumping, programClock: jumping });
  };
  const ran: number[] = [];
  const ranAt: number[] = [];
  const handlers = [
    Do.handle((n) => (ran.push(n), ranAt.push(clock.monotonic()), "done")),
    Left.handle((_, ctx) => ctx.deadline - clock.now() - jumps.server),
  ];
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const server = await clock.until(catga({ network, id: "server", handlers, logger }));
  const client = await clock.until(catga({ network, id: "client", logger, ...options }));
  return {
    clock,
    network,
    jumps,
    ran,
    ranAt,
    client,
    [Symbol.asyncDispose]: async () => void await clock.until(Promise.all([client.drain(), server.drain()])),
  };
}

describe("a frame that arrives late", () => {
  it("reduces the time of its requests by its lateness", async () => {
    await using stage = await pair();
    const { clock, network, client } = stage;
    assertEquals(code(await clock.until(client.send(Left, undefined, { timeout: 10_000 }))), 10_000);
    network.pause("server");
    const sent = client.send(Left, undefined, { timeout: 10_000, retries: 0 });
    await clock.advance(400);
    network.resume("server");
    assertEquals(Math.round(code(await clock.until(sent)) as number), 9_600);
  });

  it("with no time left is refused, not run, by a node that was frozen", async () => {
    await using stage = await pair();
    const { clock, network, client, ran } = stage;
    await clock.until(client.send(Do, 1));
    network.pause("server");
    const sent = [2, 3].map((n) => client.send(Do, n, { timeout: 1_000 * n }));
    await clock.advance(2_500);
    network.resume("server");
    await clock.advance(100);
    assertEquals([(await Promise.all(sent)).map(code), ran], [["OUTCOME_UNKNOWN", "done"], [1, 3]]);
  });

  it("is refused, too, when the network is slow for a while: nothing runs past its deadline", async () => {
    await using stage = await pair();
    const { clock, network, client, ran, ranAt } = stage;
    await clock.until(client.send(Do, 0));
    network.faults = { delay: 400 };
    const due: number[] = [Infinity];
    const codes: unknown[] = [];
    for (let n = 1; n <= 200; n++) {
      due[n] = clock.monotonic() + 200;
      client.send(Do, n, { timeout: 200, retries: 0 }).then((result) => codes[n] = code(result));
      await clock.advance(150);
    }
    await clock.advance(5_000);
    assert(ran.length > 10 && ran.length < 190, String(ran.length));
    ran.forEach((n, i) => assert(ranAt[i] <= due[n] + DRIFT, `${n} ran at ${ranAt[i]}, it was due at ${due[n]}`));
    for (const n of ran) assert(codes[n] !== "UNAVAILABLE", `${n} ran, and was said not to have`);
    network.heal();
  });
});

describe("a wall clock that jumps", () => {
  for (const who of ["server", "client"] as const) {
    for (const hours of [1, -1]) {
      it(`by ${hours} h on the ${who} changes nothing`, async () => {
        await using stage = await pair();
        const { clock, client, jumps, ran } = stage;
        assertEquals(code(await clock.until(client.send(Do, 1, { timeout: 200 }))), "done");
        jumps[who] += hours * 3_600_000;
        for (const n of [2, 3]) {
          assertEquals(code(await clock.until(client.send(Do, n, { timeout: 200, retries: 0 }))), "done");
          assertEquals(code(await clock.until(client.send(Left, undefined, { timeout: 200, retries: 0 }))), 200);
          await clock.advance(5_000);
        }
        assertEquals([ran, client.nodes().map(({ id }) => id)], [[1, 2, 3], ["client", "server"]]);
      });
    }
  }
});
