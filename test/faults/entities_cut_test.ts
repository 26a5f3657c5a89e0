/**
 * Fault: the connection of a node is cut at every point of an append: what one command emitted is there as a whole, or
 * not at all.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, entity, type Result } from "../../mod.ts";
import { eventually } from "../support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startChoppingProxy } from "../processes/chopping_proxy.ts";

const PARTS = 40;
const Book = entity("Book", { initial: () => ({ pages: [] as string[] }) });
const Written = Book.event<{ page: string }>("Written", ({ pages }, { page }) => ({ pages: [...pages, page] }));
const Write = command<{ id: string; text: string }, number>("Write", { key: ({ id }) => id });
const write = Book.handle(Write, (book, { text }) => {
  for (let n = 0; n < PARTS; n++) book.emit(Written, { page: `${text} ${n}` });
  return book.state.pages.length;
});

describe("an append whose connection is cut", await requireNatsServer(), () => {
  it("at every point: its events are there as a whole or not at all, and once when it is sent again", {
    timeout: 1_200_000,
  }, async () => {
    await using server = await startNatsServer();
    const link = await startChoppingProxy(server.port);
    const quiet = { debug() {}, info() {}, warn() {}, error() {} };
    await using reader = await catga({ nats: server.url, handlers: write, logger: quiet });
    try {
      await using writer = await catga({ nats: link.url, id: "writer", handlers: write, logger: quiet });
      const send = (id: string): Promise<Result<number>> =>
        writer.send(Write, { id, text: id }, { id: `write-${id}`, node: "writer", timeout: 10_000 });
      assertEquals((await send("first")).ok, true);
      // an append has some 2,500 bytes, its acknowledgement 180
      let [points, cuts] = [0, 0];
      for (let bytes = 1; bytes < 2_400; bytes += 100) {
        for (const way of ["there", "back"] as const) {
          const id = `${way}-${bytes}`;
          link.cutAfter(way, way === "there" ? bytes : Math.ceil(bytes / 14));
          let result = await send(id);
          if (link.restore()) cuts++;
          points++;
          const seen = await reader.load(Book, id, { latest: true });
          assert(seen.version === 0 || seen.version === PARTS, `${id}: ${seen.version} of ${PARTS} events`);
          if (result.ok) assertEquals(seen.version, PARTS);
          while (!result.ok) {
            assert(["OUTCOME_UNKNOWN", "UNAVAILABLE"].includes(result.error.code), result.error.code);
            await eventually("the connection", () => writer.health().connection !== "disconnected");
            result = await send(id);
          }
          assertEquals(result.value, PARTS);
          const { state: { pages } } = await reader.load(Book, id, { latest: true });
          assertEquals(pages, Array.from({ length: PARTS }, (_, n) => `${id} ${n}`));
        }
      }
      console.log(`${cuts} cuts at ${points} points`);
      assertEquals(points, 48);
      assertEquals(cuts, points);
    } finally {
      await link.close();
    }
  });
});
