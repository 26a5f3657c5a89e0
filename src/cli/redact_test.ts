/**
 * Tests, on a real server, that every tool that shows payloads hides what a contract's `redact` names, and that
 * `--show-secrets` shows it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, command, entity, event, fail, unwrap, workflow } from "../../mod.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { quietTerminal } from "../../test/support/quiet_terminal.ts";
import { eventually } from "../../test/support/eventually.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { HIDDEN, REDACT_HEADER } from "../contract/declaration/redaction.ts";
import { cli } from "./main.ts";

const SECRET = "4111-secret";
interface Payment {
  readonly id: string;
  readonly card: { readonly number: string; readonly name: string };
}
const payment: Payment = { id: "p-1", card: { number: SECRET, name: "Ada" } };
const redact = ["card.number"] as const;

const Paid = event<Payment>("Paid", { durable: true, redact });
const Charge = command<Payment, void>("Charge", { durable: true, redact });
const Seen = event<Payment>("Seen", { redact });
const Till = entity("Till", { initial: () => [] as Payment[] });
const Booked = Till.event<Payment>("Booked", (all, one) => [...all, one], { redact });
const Opened = Till.event<{ readonly by: string }>("Opened", (all) => all);
const Book = command<Payment, Payment>("Book", { key: ({ id }) => id });
const Order = workflow<Payment, Payment>("Order", { redact });
const Again = Order.signal<Payment>("again");

/** Signs in to a dashboard, and returns a function that asks it for a page's data. */
async function browse(address: string): Promise<(what: string, given: Record<string, string>) => Promise<string>> {
  const entered = await fetch(address, { redirect: "manual" });
  await entered.body?.cancel();
  const page = new URL(entered.headers.get("location")!, address).href;
  const headers = { cookie: entered.headers.get("set-cookie")!.split(";")[0] };
  return async (what, given) => {
    if (what !== "stream") {
      return await (await fetch(`${page}${what}?${new URLSearchParams(given)}`, { headers })).text();
    }
    // read the topics as they come, until the events and the dead letters have come
    const reader = (await fetch(`${page}stream`, { headers })).body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!/^event: events\ndata: .*Paid/m.test(text) || !/^event: letters\ndata: .*Ada/m.test(text)) {
      text += (await reader.read()).value ?? "";
    }
    await reader.cancel();
    return text;
  };
}

describe("redact, in the tools", await requireNatsServer(), () => {
  let server: NatsServer;
  let app: Catga;
  let logged = "";
  const run = async (...args: string[]) => {
    const { code, out, err } = await cliHere(args, { NATS_URL: server.url });
    assertEquals([code, err.includes(SECRET)], [0, false], `${args.join(" ")}\n${err}`);
    return out;
  };
  /** Asserts that the output has the payload without its secret, and with it under `--show-secrets`. */
  const hides = async (...args: string[]) => {
    const hidden = await run(...args);
    assert(!hidden.includes(SECRET), hidden);
    assertStringIncludes(hidden, HIDDEN);
    assertStringIncludes(hidden, "Ada");
    assertStringIncludes(await run(...args, "--show-secrets"), SECRET);
  };

  before(async () => {
    server = await startNatsServer();
    const note = (text: string, fields: object) => void (logged += `${text} ${JSON.stringify(fields)}`);
    app = await catga({
      nats: server.url,
      id: "shop-1",
      service: "shop",
      logger: { debug: note, info: note, warn: note, error: note },
      handlers: [
        Paid.on(() => {
          throw new Error("no till");
        }, { name: "tills", retry: { attempts: 1 } }),
        Charge.handle(() => fail("DECLINED", "declined", { final: true })),
        Till.handle(Book, (till, one) => {
          till.emit(Opened, { by: "Ada" });
          till.emit(Booked, one);
          return one;
        }),
        Order.handle(async (flow, one) => {
          await flow.step("copy", () => one);
          await flow.wait(Again);
          return one;
        }),
      ],
    });
    unwrap(await app.publish(Paid, payment, { id: "paid" }));
    unwrap(await app.enqueue(Charge, payment, { id: "charge" }));
    unwrap(await app.send(Book, payment));
    const started = unwrap(await app.start(Order, payment, { id: "o-1" }));
    unwrap(await app.tell(Again, started, payment));
    unwrap(await app.result(Order, started));
    await eventually("the dead letters", async () => (await Array.fromAsync(app.deadLetters())).length === 2);
  });

  after(async () => {
    await app?.drain();
    await server?.stop();
  });

  it("dead letters, of events and of queued commands: show and --json", async () => {
    await hides("dead", "show", "paid");
    await hides("dead", "show", "charge");
    await hides("dead", "--json");
    const [letter] = await Array.fromAsync(app.deadLetters({ service: "shop" }));
    assertEquals(letter.payload, payment); // programs get the whole payload
  });

  it("an earlier payload of a letter that was edited is hidden as a whole", async () => {
    const [letter] = await Array.fromAsync(app.deadLetters({ service: "shop" }));
    await letter.replay({ payload: { ...payment, id: "p-2" } });
    await eventually("it is dead again", async () => {
      const [again] = await Array.fromAsync(app.deadLetters({ service: "shop" }));
      return again !== undefined && again.at > letter.at;
    });
    await hides("dead", "show", "paid");
    assertStringIncludes(await run("dead", "show", "paid", "--json"), `"payload":"${HIDDEN}"`);
  });

  it("an entity's events, of those with redact, and the state of its snapshot", async () => {
    await hides("entity", "Till", "p-1");
    await hides("entity", "Till", "p-1", "--json");
    for (let n = 0; n < 300; n++) unwrap(await app.send(Book, payment));
    await eventually("a snapshot", async () => !/snapshot +none/.test(await run("entity", "Till", "p-1")));
    const shown = await run("entity", "Till", "p-1");
    assertStringIncludes(shown, `of that snapshot: "${HIDDEN}"`);
    assert(!shown.includes(SECRET), shown);
    await hides("entity", "Till", "p-1", "--json");
  });

  it("a workflow's run: its input, steps, signals and result; and its messages as those of an entity", async () => {
    await hides("run", "Order", "o-1");
    await hides("run", "Order", "o-1", "--json");
    assert(!(await run("entity", "Order-run", "o-1")).includes(SECRET));
  });

  it("watch: events that are not kept", async () => {
    for (const more of [[], ["--json"], ["--show-secrets"]]) {
      const watching = cliHere(["watch", "Seen", "--count", "1", ...more], { NATS_URL: server.url });
      let ended = false;
      void watching.then(() => ended = true);
      await eventually("the event", async () => {
        unwrap(await app.publish(Seen, payment));
        return ended;
      });
      const { out } = await watching;
      assertEquals(out.includes(SECRET), more[0] === "--show-secrets");
      assertStringIncludes(out, "Ada");
    }
  });

  it("the dashboard: events, dead letters, entities, runs, what is found, and what may be edited", async () => {
    for (const showSecrets of [false, true]) {
      const stop = new AbortController();
      let address = "";
      const args = ["dashboard", "--port", "0", "--allow-changes", ...(showSecrets ? ["--show-secrets"] : [])];
      const terminal = quietTerminal({
        write: (text) => void (address += text),
        say: () => {},
        environment: { NATS_URL: server.url },
        signal: stop.signal,
      });
      const ended = cli(args, terminal);
      try {
        await eventually("its address", () => address !== "");
        const ask = await browse(address.trim());
        const parts: [string, Record<string, string>][] = [
          ["stream", {}],
          ["entity", { type: "Till", id: "p-1" }],
          ["runs", { workflow: "Order", status: "" }],
          ["search", { text: "paid" }],
          ["search", { text: "o-1" }],
        ];
        for (const [what, given] of parts) {
          const text = await ask(what, given);
          const raw = given.text === "o-1";
          assertEquals([what, text.includes(SECRET)], [what, showSecrets && !raw], text.slice(0, 3_000));
          if (!raw) assertStringIncludes(text, "Ada");
        }
        const letters = /"place":"((?:[^"\\]|\\.)*)"/.exec(await ask("stream", {}))!;
        const letter = await ask("letter", { place: JSON.parse(`"${letters[1]}"`) });
        assertEquals(letter.includes(SECRET), showSecrets, letter);
        if (!showSecrets) assertStringIncludes(letter, "--show-secrets");
      } finally {
        stop.abort();
        await ended;
      }
    }
  });

  it("lines of the log, of handlers that failed and of what is dead", () => {
    assertStringIncludes(logged, "no till");
    assertStringIncludes(logged, "Paid");
    assert(!logged.includes(SECRET), logged);
  });

  it("a forged header hides all of a payload, and one of another event nothing", async () => {
    const Free = event<{ text: string }>("Free", { durable: true });
    await using other = await catga({
      nats: server.url,
      service: "forged",
      handlers: Free.on(() => fail("NO", "no", { final: true }), { name: "free" }),
      logger: { debug() {}, info() {}, warn() {}, error() {} },
    });
    const many = JSON.stringify(Array.from({ length: 33 }, (_, n) => `${n}`));
    for (
      const [id, header] of Object.entries({ many, none: "", deep: "[".repeat(10_000), other: '{"Paid":["text"]}' })
    ) {
      unwrap(await other.publish(Free, { text: "open" }, { id, headers: { [REDACT_HEADER]: header } }));
      await eventually(
        "it is dead",
        async () => (await Array.fromAsync(other.deadLetters())).some((one) => one.id === id),
      );
      assertEquals((await run("dead", "show", id)).includes('"text": "open"'), id === "other", id);
    }
  });
});
