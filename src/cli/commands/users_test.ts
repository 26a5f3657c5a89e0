/** Tests of `catga users`: what it prints is enough for a server, from the first start on. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { catga, type CatgaOptions, type Logger, unwrap } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { runSetup } from "../../../test/support/run_setup.ts";
import * as client from "../../../test/support/user_rights_client.ts";
import { Cart, handlers } from "../../../test/support/user_rights_program.ts";

const fileOf = (name: string) => fileURLToPath(new URL(`../../../test/support/${name}.ts`, import.meta.url));
const [PROGRAM, CLIENT] = ["user_rights_program", "user_rights_client"].map(fileOf);
const { Add, Ask, Items, Kept, Order, Pay, Queued, Told } = client;

/** Returns the text that `catga users` prints. */
async function usersOf(...args: string[]): Promise<string> {
  const { out, err, code } = await cliHere(["users", ...args]);
  assertEquals([err, code], ["", 0]);
  return out;
}

/** Returns the subjects of the block of a user. */
function subjectsOf(config: string, user: string): Set<string> {
  const [, block] = new RegExp(`user: ${user}, password[^\\n]*\\n([\\s\\S]*?)\\n {4}\\}`).exec(config)!;
  return new Set([...block.matchAll(/^ +"([^"]+)"/gm)].map(([, subject]) => subject));
}

describe("catga users", () => {
  it("prints what docs/nats.conf and the pages have, for a program with all kinds of handlers", async () => {
    const printed = await usersOf(PROGRAM, "--as", "orders-1");
    const page = (name: string) => readFile(new URL(`../../../docs/${name}`, import.meta.url), "utf8");
    const [conf, entities] = [await page("nats.conf"), await page("entities.md")];
    const [, lines] = /```text\n# entities([\s\S]*?)```/.exec(entities)!;
    const documented = subjectsOf(conf, "orders-1");
    for (const [, subject] of lines.matchAll(/"([^"]+)"/g)) documented.add(subject);
    assertEquals([...subjectsOf(printed, "orders-1")].sort(), [...documented].sort());
    assertEquals([...subjectsOf(printed, "operator")].sort(), [...subjectsOf(conf, "operator")].sort());
  });

  it("gives a program that only sends no subscription of the log, and no idempotency", async () => {
    const subjects = [...subjectsOf(await usersOf(CLIENT, "--as", "web-1"), "web-1")];
    assertEquals(subjects.filter((subject) => /idempotency|subscriptions|\.sub\.|snapshots|PURGE/.test(subject)), []);
    assert(subjects.includes("catga.default.entity.Order-run.*"));
  });

  it("refuses names that could grant more", async () => {
    for (const args of [["--as", "a.>"], ["--as", "*"], ["--service", 'x" ] }']]) {
      const { code, err } = await cliHere(["users", PROGRAM, ...args]);
      assertEquals(code, 2);
      assertMatch(err, /letters, digits, - and _/);
    }
  });
});

describe("a server with what catga users prints", await requireNatsServer(), () => {
  for (const each of ["node", "service"]) {
    it(`needs no further permission, with a user for each ${each}`, { timeout: 300_000 }, async () => {
      const one = each === "node";
      const names = one ? ["till-1", "web-1"] : ["till", "web"];
      const [till, web] = await Promise.all([
        usersOf(PROGRAM, ...(one ? ["--as", "till-1"] : ["--service", "till"])),
        usersOf(CLIENT, ...(one ? ["--as", "web-1"] : ["--service", "web"])),
      ]);
      const [, ofWeb] = new RegExp(`( {4}\\{\\n {6}user: ${names[1]},[\\s\\S]*?\\n {4}\\}\\n)`).exec(web)!;
      const config = `jetstream { strict: true }\n${till.replace(/ {2}\]\n\}\n$/, () => `${ofWeb}  ]\n}\n`)}`;
      await using server = await startNatsServer({ config });
      await runSetup(server.url, config);
      const lines: string[] = [];
      const told = (line: string) => void lines.push(line);
      const logger: Logger = { debug() {}, info() {}, warn: told, error: told };
      const start = (name: string, options: CatgaOptions = {}) =>
        catga({
          nats: { servers: server.url, user: name, pass: `a secret of ${name}`, inboxPrefix: `_INBOX_${name}` },
          ...{ service: name, logger, ...(one ? { id: name } : {}), ...options },
        });
      await using shop = await start(names[0], { handlers });
      await using app = await start(names[1]);
      await eventually("both see each other", () => app.nodes().length === 2 && shop.nodes().length === 2);
      unwrap(await app.send(Ask));
      unwrap(await app.send(Pay, undefined, { id: "p-1" }));
      unwrap(await app.publish(Told));
      unwrap(await app.publish(Kept));
      unwrap(await app.enqueue(Queued));
      unwrap(await app.enqueue(Queued, undefined, { delay: 50, id: "later" }));
      assertEquals(unwrap(await app.send(Add, { cart: "c" })), 1);
      assertEquals((await Array.fromAsync(app.stream(Items))).length, 3);
      unwrap(await app.result(Order, unwrap(await app.start(Order))));
      const [followed] = await Array.fromAsync(first(app.follow(Kept, { from: "start" })));
      assertEquals(followed.id.length > 0, true);
      assertEquals((await shop.load(Cart, "c")).version, 1);
      await using _ = await shop.lock("a");
      await app.cache.set("k", 1);
      assertEquals(await shop.cache.get("k"), 1);
      await eventually(
        "all to be handled",
        async () => (await shop.subscriptions()).every(({ open, lag, retrying }) => open + lag + retrying === 0),
      );
      assertEquals([shop.health().status, app.health().status], ["ready", "ready"]);
      assertEquals(lines, []);
    });
  }
});

/** Yields the first value. */
async function* first<T>(values: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const value of values) {
    yield value;
    return;
  }
}
