/** What somebody who may write to the streams of the log can do to those who use it: nothing ends or wedges a node. */
import { connect, headers } from "@nats-io/transport-node";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { catga, type CatgaOptions, type DeadLetter, entity, event } from "../mod.ts";
import {
  type Commit,
  type Head,
  messageId,
  type ParkedState,
  readCommit,
  writeCommit,
} from "../src/log/format/commit.ts";
import { commitSubject, parkedSubject, requestSubject, subscriptionKey } from "../src/log/format/names.ts";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { deleteConsumers } from "./support/delete_consumers.ts";
import { eventually } from "./support/eventually.ts";
import { ofThisRuntime } from "./support/of_this_runtime.ts";
import { PATIENT } from "./support/patient.ts";
import { patientManager } from "./support/patient_jetstream.ts";

const Placed = event<unknown>("Placed", {
  durable: true,
  key: (payload) => typeof payload === "object" && payload !== null && "key" in payload ? `${payload.key}` : "none",
});
const SUBJECT = "catga.default.log.Placed";
const STREAM = "catga_default_log";
const SUBSCRIPTIONS = "catga_default_subscriptions";
const KEY = subscriptionKey("shop", "billing");
const COMMITS = commitSubject("default", KEY);
const BIG = Number.MAX_SAFE_INTEGER;
const PUBLISHER = "mallory.1";
const PARKED: ParkedState = { position: 0, time: 1, epoch: 0, attempts: 1, due: 0, dead: 0 };

/** A node that handles `Placed`, and somebody who may do everything. */
async function stage(options: CatgaOptions = {}) {
  const server = await startNatsServer();
  const lines: string[] = [];
  const say = (message: string, { error }: { error?: unknown }) => void lines.push(`${message} ${error ?? ""}`);
  const logger = { debug() {}, info: say, warn: say, error: say };
  const handled: unknown[] = [];
  const handlers = Placed.on((payload) => void handled.push(payload), {
    name: "billing",
    retry: { attempts: 2, delay: [1, 1] },
  });
  const app = await catga({ nats: server.url, service: "shop", handlers, logger, ...options });
  const connection = await connect({ servers: server.url });
  const manager = await patientManager(connection);
  let probes = 0;
  /** Writes a message by hand; what the server says of it is no error. */
  const write = async (subject: string, data: string | Uint8Array, given: Record<string, string> = {}) => {
    const all = headers();
    for (const [name, value] of Object.entries(given)) all.set(name, value);
    const answer = (await connection.request(subject, data, { ...PATIENT, headers: all })).json<{ error?: object }>();
    assertEquals(answer.error, undefined, subject);
  };
  /** The last commit, once it is valid, and its sequence. */
  const last = async () =>
    (await eventually("a valid commit", async () => {
      // its stream may have been deleted
      const found = await manager.streams.getMessage(SUBSCRIPTIONS, { last_by_subj: COMMITS }).catch(() => undefined);
      if (!found) return undefined;
      const commit = readCommit(new TextDecoder().decode(found.data));
      return typeof commit === "object" && { commit, sequence: found.seq };
    })) as { commit: Commit; sequence: number };
  let forged = 0;
  return {
    ...{ app, handled, last, lines, manager, write },
    /** Ends the lead of the node with a commit of another's making, which goes on from the last one. */
    forge: (change: (commit: Commit) => Commit) =>
      eventually("a forged commit", async () => {
        const { commit, sequence } = await last();
        const made = change({ ...commit, prev: commit.id, id: ["mallory", ++forged] });
        const text = writeCommit({ ...made, head: { ...made.head, leader: "" } });
        const expected = { "Nats-Expected-Last-Subject-Sequence": `${sequence}` };
        return await write(COMMITS, text, expected).then(() => true, () => false); // the leader may write one meanwhile
      }),
    /** An event that is published now is handled. */
    lives: async (after: string) => {
      const probe = `probe ${probes++}`;
      assert((await app.publish(Placed, { key: probe })).ok, after);
      await eventually(
        `${probe} to be handled, after ${after}`,
        () => handled.some((payload) => (payload as { key?: unknown } | null)?.key === probe),
      );
    },
    /** There is a valid commit, and a leader in it. */
    led: (after: string) => eventually(`a leader after ${after}`, async () => (await last()).commit.head.leader !== ""),
    letters: async () => {
      const found: DeadLetter[] = [];
      for await (const letter of app.deadLetters()) found.push(letter);
      return found;
    },
    said: (pattern: RegExp) => eventually(`a line like ${pattern}`, () => lines.some((line) => pattern.test(line))),
    async [Symbol.asyncDispose]() {
      await app.drain();
      await connection.close();
      await server.stop();
    },
  };
}

/** Changes the head of a commit. */
const head = (change: (head: Head) => Partial<Head>) => (commit: Commit): Commit => ({
  ...commit,
  head: { ...commit.head, ...change(commit.head) },
});
const UNKNOWN = Array.from({ length: 5_000 }, (_, i) => ({ ...PARKED, position: i * 1_024 }));
/** Commits that nobody but a forger writes. */
const FORGERIES: Record<string, (commit: Commit) => Commit> = {
  "no leader": (commit) => commit,
  "a category that begins in 280,000 years": head(() => ({ began: { Placed: BIG } })),
  "20,000 categories": head(({ began }) => ({
    began: { ...began, ...Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`C${i}`, 0])) },
  })),
  "names that are none": head(({ began }) => ({ began: { ...began, "": 0, "a b": 0, ">": 0 } })),
  "30,000 open": head(() => ({ open: Array.from({ length: 30_000 }, (_, i) => [i * 40_000, 1] as const) })),
  "open in the future": head(() => ({ open: [[BIG - 1, 1], [BIG, BIG]] })),
  "read in the future": head(({ place }) => ({ place: { ...place, read: BIG } })),
  "no log": head(({ place }) => ({ place: { ...place, created: "", read: 0 } })),
  "an epoch beyond counting": head(({ place }) => ({ place: { ...place, epoch: BIG } })),
  "requests in the future": head(() => ({ requests: BIG })),
  "doubt of everything": head(() => ({
    doubt: { upTo: BIG, groups: [{ size: BIG, ids: ["x"] }], begun: ["", "1-1"] },
  })),
  "parked messages that are nowhere": (commit) => ({ ...commit, full: true, parked: UNKNOWN }),
  "counts beyond counting": (commit) => ({ ...commit, counts: { parked: BIG, dead: BIG } }),
  "a base in the future": (commit) => ({ ...commit, full: false, base: BIG }),
  "a number beyond counting": (commit) => ({ ...commit, id: [commit.id[0], BIG] }),
  "a token of nobody": head(() => ({ token: BIG - 1_000_000 })),
};

const group = (...items: unknown[]) => JSON.stringify([1, PUBLISHER, 0, 0, 0, ...items]);

describe("a hostile writer of the log", await requireNatsServer(), () => {
  it("messages that cannot be read are dead letters, and no handler is given them, not by a replay either", {
    timeout: 300_000,
  }, async () => {
    await using here = await stage();
    const garbage: (string | Uint8Array)[] = [
      ...["", "{", "[1,2]", `{"n":1}`, group(), group(...Array(513).fill([1])), group([1, 2]), group([1, null, ""])],
      ...[group(["~{", null, null, null, 1]), group([1, null, null, null, 9]), `[-1,"${PUBLISHER}",0,0,0,[1]]`],
      ...[`[1,"${PUBLISHER}",${2 ** 53},0,0,[1]]`, "[".repeat(400_000) + "]".repeat(400_000)],
      ...["[2]", `[999999999,"${PUBLISHER}",0,0,0,[1]]`],
      new Uint8Array(900_000).fill(255),
    ];
    for (const data of garbage) await here.write(SUBJECT, data);
    const letters = await eventually("the dead letters", async () => {
      const found = await here.letters();
      return found.length === garbage.length && found;
    }) as DeadLetter[];
    assertEquals(new Set(letters.map(({ error }) => error.code)), new Set(["INVALID_MESSAGE"]));
    for (const letter of letters) await letter.replay();
    await eventually("them to be dead again", async () => {
      const found = await here.letters();
      return found.length === garbage.length && found.every(({ at }, i) => at > letters[i].at);
    });
    assertEquals(here.handled, []);
    await here.lives("garbage");
  });

  it("what names no entity is a dead letter of a subscription to events of entities: listed, replayed, discarded", {
    timeout: 300_000,
  }, async () => {
    const Cart = entity("Cart", { initial: () => 0 });
    const handlers = Cart.event("Paid", (paid) => paid + 1).on(() => {}, { name: "carts" });
    await using here = await stage({ handlers });
    const subjects = ["entity.Cart.=41", "entity.Cart.$", "entity.Cart.7"].map((each) => `catga.default.${each}`);
    for (const subject of subjects) await here.write(subject, "{");
    const letters = (when: string, fits: (found: DeadLetter[]) => boolean) =>
      eventually(when, async () => {
        const found = await here.letters();
        return fits(found) && found;
      }) as Promise<DeadLetter[]>;
    const found = await letters("the dead letters", ({ length }) => length === subjects.length);
    assertEquals(found.map(({ subscription, error }) => [subscription, error.code]), [
      ["carts:entities", "INVALID_MESSAGE"],
      ["carts:entities", "INVALID_MESSAGE"],
      ["carts:entities", "INVALID_MESSAGE"],
    ]);
    await found[0].replay();
    const again = await letters(
      "it to be dead again",
      ([{ id, at }]) => id === found[0].id && at > found[0].at,
    );
    for (const letter of again) await letter.discard();
    await letters("none to be left", ({ length }) => length === 0);
    assertEquals((await here.app.subscriptions()).map(({ retrying, dead }) => [retrying, dead]), [[0, 0]]);
  });

  it("what is well-formed and strange is handled", { timeout: 300_000 }, async () => {
    await using here = await stage();
    const strange = [
      ...[
        group(["a", ""]),
        group(["b", "k".repeat(400_000)]),
        group(["c", "\0\n *.>"]),
        group(["d", null, "\0\n *.>"]),
      ],
      ...[`[1,"${PUBLISHER}",0,0,0,["e","\\ud800","\\udfff",{"c":"\\ud800","h":{"\\ud800":"\\ud800\\n"}}]]`],
      `[1,"${PUBLISHER}",${BIG},-1e300,{"k":1e308},["f",null,null,{"h":{"__proto__":"x","constructor":"y"}}],["g"]]`,
      `[1,"${PUBLISHER}",0,0,{"s":["${"i".repeat(300)}",${BIG}]},["h"]]`,
      group(["i", null, null, { h: { a: "x".repeat(400_000) }, c: "c".repeat(100_000) }]),
    ];
    for (const data of strange) await here.write(SUBJECT, data);
    await here.write(SUBJECT, group(["j"]), {
      "Nats-Schedule": "@at 2020-01-01T00:00:00Z",
      "Nats-Schedule-Target": "x",
    })
      .catch(() => {}); // refused by newer servers
    await eventually("all of them", () => [..."abcdefghi"].every((each) => here.handled.includes(each)));
    await here.write(SUBJECT, group([JSON.parse("[".repeat(5_000) + "]".repeat(5_000))]));
    await here.lives("depth");
  });

  it("a message as large as the server takes, that fails, is a dead letter and stops nobody", {
    timeout: 300_000,
  }, async () => {
    await using here = await stage({
      handlers: Placed.on((payload) => {
        if (typeof payload === "string") throw new Error("no");
        here.handled.push(payload);
      }, { name: "billing", retry: { attempts: 2, delay: [1, 1] } }),
    });
    await here.write(SUBJECT, group(["x".repeat(1_048_576 - 60), "key"]));
    await eventually("it to be a dead letter", async () => (await here.letters()).length === 1);
    await here.lives("a large message");
    const [letter] = await here.letters();
    assertEquals([letter.error.code, letter.key], ["HANDLER_FAILED", "key"]);
    assertMatch(`${letter.payload}`, /left out/); // the log has it still: a replay gives it to the handler
    // and one that anybody may publish fits everywhere
    const most = 1_048_576 - 16_384 - 100;
    assertEquals((await here.app.publish(Placed, "y".repeat(most + 200))).error?.code, "TOO_LARGE");
    assert((await here.app.publish(Placed, "y".repeat(most))).ok);
    await eventually(
      "it to be dead",
      async () => (await here.letters()).some(({ payload }) => `${payload}`.length === most),
    );
  });

  it("forged commits are survived: what comes afterwards is handled", { timeout: 900_000 }, async () => {
    await using here = await stage();
    await here.lives("the start");
    for (const [what, forgery] of Object.entries(FORGERIES)) {
      await here.forge(forgery);
      await here.led(what);
      await here.lives(what);
    }
    for (const text of ["", "garbage", "null", "[".repeat(300_000)]) await here.write(COMMITS, text);
    await here.write(COMMITS, "", { "Nats-Rollup": "sub" });
    await here.led("garbage in place of the commits");
    await here.lives("garbage in place of the commits");
  });

  // one behind another, a forged commit may mend what the one before it has broken
  for (const [what, forgery] of ofThisRuntime(Object.entries(FORGERIES))) {
    it(`a forged commit is survived alone: ${what}`, { timeout: 300_000 }, async () => {
      await using here = await stage();
      await here.led("the start");
      await here.forge(forgery);
      await here.led(what);
      await here.lives(what);
    });
  }

  it("a forged commit without the categories of live nodes has them read again", { timeout: 300_000 }, async () => {
    await using here = await stage();
    await here.lives("the start");
    for (const began of [{}, { Nobody: 0 }]) {
      await here.forge((commit) => ({ ...commit, head: { ...commit.head, began } }));
      await here.led("a forged commit");
      await eventually("its categories", async () => Object.hasOwn((await here.last()).commit.head.began, "Placed"));
      await here.lives("a commit without its categories");
    }
  });

  it("forged messages that are parked, and forged requests, are survived", { timeout: 300_000 }, async () => {
    await using here = await stage();
    await here.lives("the start");
    const park = async (state: ParkedState, text: (message: object) => string) => {
      const { position, time } = state;
      const message = { position, time, category: "Placed", id: "x", payload: "parked", tagged: false };
      await here.write(parkedSubject("default", KEY, messageId(state)), text(message));
      return state;
    };
    const at = (position: number, change: Partial<ParkedState> = {}) => ({ ...PARKED, position, ...change });
    const of = (change: object) => (message: object) => JSON.stringify({ v: 1, message: { ...message, ...change } });
    const states = [
      await park(at(0), of({})),
      await park(at(1_024), () => "garbage"),
      await park(at(2_048), of({ id: "i".repeat(600) })),
      await park(at(3_072), of({ id: "" })),
      await park(at(4_096, { attempts: 2 ** 40 }), of({})),
      await park(at(5_120, { due: 2 ** 52 }), of({})),
      await park(at(6_144), of({ category: "Nobody" })),
      await park(at(7_168, { dead: 2 ** 52 }), of({})),
      await park(at(8_192), (message) => of({ key: "KEY" })(message).replace("KEY", "\\ud800")),
      await park(at(9_216), of({ payload: "~zzz", tagged: true })),
      await park(at(10_240), of({ payload: "x".repeat(1_048_576 - 400) })),
      at(11_264),
      await park(at(BIG), of({})),
    ];
    await here.forge((commit) => ({
      ...commit,
      full: true,
      parked: states,
    }));

    for (
      const text of [
        "",
        "garbage",
        "null",
        '{"v":1,"kind":"replay","message":"x","dead":0}',
        '{"v":1,"kind":"rewind","to":-1}',
      ]
    ) {
      await here.write(requestSubject("default", KEY, `r${text.length}`), text);
    }
    await here.write(requestSubject("default", KEY, "far"), JSON.stringify({ v: 1, kind: "rewind", to: BIG }));
    const began = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`C${i}`, BIG]));
    await here.write(requestSubject("default", KEY, "many"), JSON.stringify({ v: 1, kind: "join", began }));
    await here.lives("forged messages");
    await eventually("those that can be run to have run", () => here.handled.includes("parked"));
    await eventually("those that cannot to be dead letters", async () => {
      const positions = (await here.letters()).map(({ position }) => position);
      return [4_096, 7_168, 9_216].every((each) => positions.includes(each));
    });
    await here.lives("all of them");
  });

  it("streams, buckets and consumers that are deleted are made again, and what comes afterwards is handled", {
    timeout: 300_000,
  }, async () => {
    await using here = await stage();
    const { manager } = here;
    for (const name of [STREAM, SUBSCRIPTIONS, "KV_catga_default_nodes"]) {
      await manager.streams.delete(name);
      await here.lives(`the deletion of ${name}`);
      // without its commits it may begin behind what is published until it has one again
      if (name === SUBSCRIPTIONS) await here.led(`the deletion of ${name}`);
    }
    await deleteConsumers(manager, STREAM);
    await here.lives("the deletion of the consumers");
    await manager.streams.purge(STREAM);
    await here.lives("a purge");
  });
});
