/** Tests of commands of entities while nodes with several versions of a program run at once. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Catga, command, entity, unwrap } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { testCluster } from "../testing/mod.ts";

const Take = command<{ seat: string }, number>("Take", {
  input: z.object({ seat: z.string() }),
  key: ({ seat }) => seat,
});

/** Makes handlers of an entity. Its event has a field of the given name. */
function version(field: "buyer" | "holder") {
  const Seat = entity("Seat", { initial: () => ({ count: 0 }) });
  const Taken = Seat.event<Record<string, string>>("Taken", ({ count }) => ({ count: count + 1 }), {
    input: z.object({ [field]: z.string() }) as never,
  });
  return Seat.handle(Take, (seat, _, ctx) => {
    seat.emit(Taken, { [field]: ctx.node });
    return seat.state.count;
  });
}

function cluster(...ids: string[]) {
  return testCluster(ids, {
    logger: QUIET,
    node: (id) =>
      id === "web"
        ? { service: "web" }
        : { service: "shop", handlers: version(id.startsWith("old") ? "buyer" : "holder") },
  });
}

function seeAll(...apps: Catga[]): Promise<boolean> {
  return eventually(
    "their versions to be known",
    () => apps.every((app) => app.nodes().filter(({ shapes }) => shapes).length === 2),
  );
}

describe("an entity with an event that one version cannot apply", () => {
  it("is decided by a node of another version", async () => {
    await using shop = await cluster("new", "web");
    const web = shop.app("web");
    const seats = Array.from({ length: 20 }, (_, n) => `s${n}`);
    for (const seat of seats) unwrap(await web.send(Take, { seat }));
    await shop.start("old");
    await seeAll(web, shop.app("old"), shop.app("new"));
    // routing by key sends some of the commands to the old node, which cannot read the entities
    for (const seat of seats) assertEquals(unwrap(await web.send(Take, { seat })), 2);
    for (const seat of seats) assertEquals(unwrap(await shop.app("old").send(Take, { seat })), 3);
  });

  it("is UNAVAILABLE, with the path, at once and not retryable, if no version that is there can", async () => {
    await using shop = await cluster("new", "old1", "old2", "web");
    const web = shop.app("web");
    await shop.app("old1").drain();
    await shop.app("old2").drain();
    unwrap(await web.send(Take, { seat: "a" }));
    await shop.app("new").drain();
    await shop.start("old3");
    await shop.start("old4");
    await eventually("both", () => web.nodes().filter(({ shapes }) => shapes).length === 2);
    const { error } = await web.send(Take, { seat: "a" });
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", false]);
    assertMatch(error!.message, /Seat a: its event 1 cannot be applied: .*buyer/);
    // start a node with a version of the program that can read the entity
    await shop.start("new2");
    await eventually("its next answer", async () => (await web.send(Take, { seat: "a" })).ok);
  });
});
