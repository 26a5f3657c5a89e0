import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command, event } from "../../contract/declaration/definition.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Result } from "../../contract/calls/result.ts";
import { type Deadlined, DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { Publication, type PublicationParts, PublishBacklog } from "./publication.ts";

const Placed = event<void>("Placed", { durable: true });
const Mail = command<void, void>("Mail", { durable: true });
const OK: Result<void> = { ok: true, value: undefined };

describe("Publication", () => {
  it("ends once, with its first result, and holds neither its text nor a deadline then", async () => {
    const { host, begin, events } = start();
    const publication = begin(Placed);
    assertEquals([publication.over, host.underWay.count, host.wheel.size], [false, 1, 1]);
    publication.end(OK);
    publication.fail("too late");
    publication.abort(new CatgaError("CLOSED", "stopped"));
    assertEquals(await publication.result, OK);
    assertEquals(events, ["ended", "idle"]);
    assertEquals([publication.over, publication.item, host.underWay.count, host.wheel.size], [true, "", 0, 0]);
  });

  it("is UNAVAILABLE at its deadline if it was certainly not stored, with the last error", async () => {
    const { clock, begin } = start();
    const [alone, tried] = [begin(Placed), begin(Placed)];
    const cause = new CatgaError("UNAVAILABLE", "no leader");
    tried.attempted = { ambiguous: false, error: cause, publicationGaveUp() {} };
    await clock.advance(990);
    assertEquals(alone.over, false);
    await clock.advance(20);
    const why = "event Placed was not stored: its deadline has passed";
    assertEquals(await failureOf(alone), ["UNAVAILABLE", why, true, undefined]);
    assertEquals(await failureOf(tried), ["UNAVAILABLE", `${why}; last error: no leader`, true, cause]);
  });

  it("is OUTCOME_UNKNOWN, which is not to be sent again, if it may have been stored, except for its own sender's abort", async () => {
    const reasons: [reason: CatgaError, ambiguous: boolean, code: string, message: string][] = [
      [new CatgaError("CANCELLED", "gave up"), true, "CANCELLED", "gave up"],
      [new CatgaError("CLOSED", "stopped"), true, "OUTCOME_UNKNOWN", "event Placed may have been stored: stopped"],
      [new CatgaError("CLOSED", "stopped"), false, "CLOSED", "event Placed was not stored: stopped"],
      [new CatgaError("TIMEOUT", "late"), true, "OUTCOME_UNKNOWN", "event Placed may have been stored: late"],
      [new CatgaError("TIMEOUT", "late"), false, "UNAVAILABLE", "event Placed was not stored: late"],
    ];
    const { begin } = start();
    for (const [reason, ambiguous, code, message] of reasons) {
      const publication = begin(Placed);
      publication.attempted = { ambiguous, error: undefined, publicationGaveUp() {} };
      publication.abort(reason);
      assertEquals(await failureOf(publication), [code, message, code === "UNAVAILABLE", undefined]);
    }
  });

  it("is CANCELLED by its signal, which it no longer listens to once it has ended", async () => {
    const { begin } = start();
    const control = new AbortController();
    const listening = new Set<unknown>();
    const { signal } = control;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...args: Parameters<typeof add>) => (listening.add(args[1]), add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listening.delete(args[1]), remove(...args));
    const [stored, waiting] = [begin(Mail, { signal }), begin(Mail, { signal })];
    stored.end(OK);
    assertEquals(listening.size, 1);
    control.abort();
    assertEquals(await failureOf(waiting), ["CANCELLED", "the sender of command Mail gave up", false, undefined]);
    assertEquals([await stored.result, listening.size], [OK, 0]);
  });

  it("is under way until who waits for its result has it: that may start something else", async () => {
    const { begin, events, idle } = start();
    const [first, second] = [begin(Placed), begin(Placed)];
    first.end(OK);
    assertEquals(events, ["ended"]);
    const woken: string[] = [];
    const waiting = [idle.then(() => woken.push("drained")), second.result.then(() => woken.push("result"))];
    second.end(OK);
    await Promise.all(waiting);
    assertEquals([events, woken], [["ended", "ended", "idle"], ["result", "drained"]]);
  });

  it("leaves its message of the stream once, when it has given up; not when it is stored", () => {
    const { begin } = start();
    const [late, stored] = [begin(Placed), begin(Placed)];
    const left: string[] = [];
    late.attempted = {
      ambiguous: false,
      error: undefined,
      publicationGaveUp: () => void left.push(`late, over: ${late.over}`),
    };
    stored.attempted = { ambiguous: false, error: undefined, publicationGaveUp: () => void left.push("stored") };
    late.expire();
    late.expire();
    stored.end(OK);
    stored.expire();
    assertEquals(left, ["late, over: true"]);
  });

  it("of a queued command ends with the handler that sends it; that of an event does not", async () => {
    const { begin, host } = start();
    const parent = new MessageContext(localApp().inside, Mail, 1_000, undefined);
    const [stored, mail, placed] = [begin(Mail, { parent }), begin(Mail, { parent }), begin(Placed, { parent })];
    stored.end(OK);
    parent.execution.abort(new CatgaError("TIMEOUT", "the handler's time is over"));
    const late = begin(Mail, { parent });
    assertEquals((await failureOf(mail))[0], "UNAVAILABLE");
    assertEquals((await failureOf(late))[0], "UNAVAILABLE");
    assertEquals([await stored.result, placed.over, host.underWay.count], [OK, false, 1]);
  });

  it("is released by the handler that sends it when it has ended: a long one may send many", () => {
    const { begin } = start();
    const sent = new Set<Deadlined>();
    const execution = {
      adopt: (child: Deadlined) => sent.add(child),
      release: (child: Deadlined) => sent.delete(child),
    };
    const running = new MessageContext(localApp().inside, Mail, 1_000, undefined);
    const parent: MessageContext = Object.create(running, { execution: { value: execution } });
    const publication = begin(Mail, { parent });
    assertEquals([...sent], [publication]);
    publication.end(OK);
    assertEquals(sent.size, 0);
  });
});

function start() {
  const clock = new VirtualClock();
  const events: string[] = [];
  const { promise: idle, resolve } = Promise.withResolvers<void>();
  const underWay = {
    count: 0,
    begin: () => void underWay.count++,
    end() {
      if (--underWay.count > 0) return;
      events.push("idle");
      resolve();
    },
  };
  const host = { wheel: new DeadlineWheel(clock), underWay };
  const backlog = new PublishBacklog();
  const lane = { publicationEnded: () => void events.push("ended") };
  const begin = (contract: AnyContract, more: Partial<PublicationParts> = {}) => {
    const parts = { item: "[1]", id: undefined, key: undefined, keep: 1, planned: undefined, timeout: 1_000, ...more };
    const { signal, parent } = more;
    return new Publication(host, backlog, lane, { ...parts, contract, signal, parent });
  };
  return { clock, host, events, idle, begin };
}

async function failureOf({ result }: Publication) {
  const { error } = await result;
  return [error?.code, error?.message, error?.retryable, error?.cause];
}
