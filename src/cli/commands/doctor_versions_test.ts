/** Tests of `catga doctor` and `catga top` on programs whose versions of a contract do not fit. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Catga, command, entity, event, query, unwrap } from "../../../mod.ts";
import { requireNatsServer } from "../../../tools/nats_server.ts";
import { edge } from "../../http/mod.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { Doctored } from "../../../test/support/doctored.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { eventually } from "../../../test/support/eventually.ts";

const seat = z.string();
const sold = z.object({ by: z.enum(["web"]) });
const Old = command("Sell", { input: z.object({ seat, buyer: z.string() }), output: sold });
const New = command("Sell", { input: z.object({ seat, holder: z.string() }), output: sold });
const Wide = command("Sell", {
  input: z.object({ seat, buyer: z.string(), channel: z.enum(["web", "kiosk"]).optional() }),
  output: sold,
});

/** Resolves when each app sees all apps, with the hashes of the contracts that each app handles. */
async function see(...apps: Catga[]): Promise<void> {
  await eventually("all see each other", () =>
    apps.every((app) => {
      const nodes = app.nodes();
      return nodes.length === apps.length && nodes.every(({ handles, shapes }) => handles.length === 0 || shapes);
    }));
}

const slow = { timeout: 300_000 };

describe("catga doctor on versions of a contract", await requireNatsServer(), () => {
  it("names handlers that do not fit each other, before anybody sends", slow, async () => {
    await using on = await Doctored.start();
    const is = { id: "shop-1", service: "shop", handlers: Old.handle(() => ({ by: "web" as const })) };
    const old = await on.app("versions", is);
    const canary = { ...is, id: "shop-2", handlers: New.handle(() => ({ by: "web" as const })) };
    await see(old, await on.app("versions", canary));
    assertEquals((await on.findings("versions")).map(({ kind, about, message }) => ({ kind, about, message })), [{
      ...{ kind: "schema-mismatch", about: "Sell" },
      message: "Programs run with versions of Sell that do not fit: " +
        "what a sender with the version of shop-1 sends, shop-2 would refuse: holder: required by the reader, not " +
        "written; what a sender with the version of shop-2 sends, shop-1 would refuse: buyer: required by the reader, " +
        "not written.",
    }]);
  });

  it("names an idempotent command that another node handles as one that is not", slow, async () => {
    await using on = await Doctored.start();
    const Once = command("Sell", { input: z.object({ seat, buyer: z.string() }), output: sold, idempotent: true });
    const handle = () => ({ by: "web" as const });
    const once = await on.app("versions", { id: "shop-1", service: "shop", handlers: Once.handle(handle) });
    await see(once, await on.app("versions", { id: "shop-2", service: "shop", handlers: Old.handle(handle) }));
    assertEquals((await on.findings("versions")).map(({ kind, about, message }) => ({ kind, about, message })), [{
      ...{ kind: "idempotent-differs", about: "Sell" },
      message: "Sell is idempotent at shop-1, and not at shop-2: a send that comes again runs again there.",
    }]);
  });

  it("names events that are durable at some nodes only, by handlers and publishers, with no schema", slow, async () => {
    await using on = await Doctored.start();
    const forms = (name: string) => [event(name), event(name, { durable: true })] as const;
    const [plain, durable] = forms("Paid");
    const [told] = forms("Told");
    const [, kept] = forms("Kept");
    const model = { each: "node" } as const;
    await on.app("events", { id: "mail-1", service: "mail", handlers: [plain.on(() => {}), told.on(() => {})] });
    await on.app("events", { id: "books-1", service: "books", handlers: [plain.on(() => {}), durable.on(() => {})] });
    const models = [durable.on(() => {}, model), plain.on(() => {}), kept.on(() => {}, model)];
    await on.app("events", { id: "model-1", service: "model", handlers: models });
    const old = await on.app("events", { id: "web-1", service: "web" });
    const now = await on.app("events", { id: "web-2", service: "web" });
    await eventually("all", () => old.nodes().length === 5 && now.nodes().length === 5);
    for (const each of [plain, told]) unwrap(await old.publish(each));
    for (const each of [durable, kept]) unwrap(await now.publish(each));
    const found = await on.findings("events");
    assertEquals(found.filter(({ kind }) => kind === "durable-differs"), [
      {
        ...{ kind: "durable-differs", about: "Paid", severity: "warning", advice: "Handle both for a while." },
        docs: "catga docs upgrading#an-event-becomes-durable",
        message:
          "Paid is durable at books-1, model-1, web-2, and not at mail-1: what is published there as durable does " +
          "not reach these, nor the other way round.",
      } as typeof found[0],
    ]);
  });

  it("names an event that is published as not durable to a service that handles it as durable only", slow, async () => {
    await using on = await Doctored.start();
    const forms = (name: string) => [event(name), event(name, { durable: true })] as const;
    const [plain, durable] = forms("Paid");
    const [told, kept] = forms("Told");
    await on.app("events", { id: "mail-1", service: "mail", handlers: [durable.on(() => {}), kept.on(() => {})] });
    // the service of `books` handles both forms of each event, though one of its nodes does not
    const both = [plain.on(() => {}), durable.on(() => {}), told.on(() => {}), kept.on(() => {})];
    await on.app("events", { id: "books-1", service: "books", handlers: both });
    await on.app("events", { id: "books-2", service: "books", handlers: [durable.on(() => {}), kept.on(() => {})] });
    const web = await on.app("events", { id: "web-1", service: "web" });
    await eventually("all", () => web.nodes().length === 4);
    unwrap(await web.publish(plain));
    unwrap(await web.publish(kept));
    const found = await on.findings("events");
    assertEquals(found.filter(({ kind }) => kind === "durable-differs").map(({ message }) => message), [
      "Paid is published as not durable at web-1, and is durable at mail-1: what is published there does not reach these.",
    ]);
  });

  it("names senders and handlers that do not fit, and each field; top has it, too", slow, async () => {
    await using on = await Doctored.start();
    const shop = { service: "shop", handlers: New.handle(() => ({ by: "web" as const })) };
    const one = await on.app("versions", { ...shop, id: "shop-1" });
    const web = await on.app("versions", { id: "web-1", service: "web" });
    await see(one, web);
    const { error } = await web.send(Old, { seat: "A1", buyer: "ada" });
    assertEquals(error?.code, "INVALID_MESSAGE");
    const message = "Programs run with versions of Sell that do not fit: what web-1 sends, shop-1 would refuse: " +
      "holder: required by the reader, not written.";
    await eventually("the alarm of the sender", () => web.health().alarms.some((each) => each.message === message));
    const found = await on.findings("versions");
    assertEquals(found.filter(({ kind }) => kind === "schema-mismatch").map(({ message }) => message), [message]);
    const top = await cliHere(["top", "--once", "--timeout", "30s", ...on.args("versions")]);
    assertStringIncludes(top.out, "schema-mismatch");
  });

  it(
    "says nothing of a version that reads what the others write, although they refuse what it could write",
    slow,
    async () => {
      await using on = await Doctored.start();
      const shop = { service: "shop", handlers: Old.handle(() => ({ by: "web" as const })) };
      const old = await on.app("versions", { ...shop, id: "shop-1" });
      const wide = await on.app("versions", {
        ...{ ...shop, id: "shop-2" },
        handlers: Wide.handle(() => ({ by: "web" as const })),
      });
      const web = await on.app("versions", { id: "web-1", service: "web" });
      await see(old, wide, web);
      await web.send(Old, { seat: "A1", buyer: "ada" });
      assertEquals(await on.findings("versions"), []);
    },
  );

  it(
    "names events of entities, events that are only followed, and routes of an edge; the nodes alarm",
    slow,
    async () => {
      await using on = await Doctored.start();
      const versions = [{ org: z.string() }, { tenant: z.string() }].map((shape) => {
        const input = z.object(shape);
        const Till = entity("Till", { initial: () => 0 });
        const Paid = Till.event("Paid", (state) => state, { input });
        const Pay = command("Pay", { key: () => "1" });
        const Moved = event("Moved", { durable: true, input });
        return { Moved, Ask: query("Ask", { input }), pay: Till.handle(Pay, (till) => till.emit(Paid, {} as never)) };
      });
      const [old, now] = versions;
      const lines: string[] = [];
      const told = (line: string) => void lines.push(line);
      const logger = { ...QUIET, warn: told, error: told };
      const gate = await on.app("read", { id: "gate-1", service: "gate", logger });
      const handle = edge({ moved: old.Moved, ask: old.Ask }).handler(gate, { authorize: () => undefined });
      const one = await on.app("read", { id: "till-1", service: "till", handlers: old.pay, logger });
      const handlers = [now.pay, now.Ask.handle(() => {})];
      const two = await on.app("read", { id: "till-2", service: "till", handlers, logger });
      const tail = handle(new Request("http://x/moved?from=start")).then((response) => response.text());
      unwrap(await two.publish(now.Moved, { tenant: "north" }));
      assertStringIncludes(await tail, "INVALID_MESSAGE");
      assertEquals(lines.filter((line) => line.endsWith("following Moved failed")).length, 1);
      const said = (message: string) => message.replace("Programs run with versions of ", "");
      const moved =
        "Moved that do not fit: what till-2 sends, gate-1 would refuse: org: required by the reader, not written.";
      await eventually(
        "the alarm of the publisher",
        () => two.health().alarms.some(({ message }) => said(message) === moved),
      );
      const applied =
        "Till.Paid that do not fit: what till-1 sends, till-2 would refuse: tenant: required by the reader";
      await eventually(
        "the alarm about the entity",
        () => one.health().alarms.some(({ message }) => said(message).startsWith(applied)),
      );
      let found: Awaited<ReturnType<typeof on.findings>> = [];
      await eventually("the doctor to find all", async () => {
        found = (await on.findings("read")).filter(({ kind }) => kind === "schema-mismatch");
        return found.length === 3;
      });
      assertEquals(found.map(({ about }) => about).sort(), ["Ask", "Moved", "Till.Paid"]);
      assertStringIncludes(
        found.find(({ about }) => about === "Ask")!.message,
        "what gate-1 sends, till-2 would refuse",
      );
      assertEquals(lines.filter((line) => line.includes("malformed")), []);
    },
  );
});
