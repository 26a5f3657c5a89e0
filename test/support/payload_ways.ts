/**
 * Sends every payload every way: as a payload and an answer, with an id, in a failure, as an event, in the cache, to
 * all nodes.
 */
import { type Catga, command, event, fail, type Handler, query, type Result, unwrap } from "../../mod.ts";
import { eventually } from "./eventually.ts";
import { patiently } from "./patient.ts";
import { difference, PAYLOADS } from "./payloads.ts";

const Echo = query<unknown, unknown>("Echo");
const Once = command<unknown, unknown>("Once", { idempotent: true });
const Refuse = command<unknown, void>("Refuse");
const Seen = event<unknown>("Seen");
const Read = query<string, unknown>("Read");
/** What the handler of {@link Seen} publishes again; the sender handles it. */
const Back = event<unknown>("Back");

/**
 * The handlers of the node that the payloads are sent to. Each compares what arrives with its own payload of that name.
 */
export function answering(): Handler[] {
  return [
    Echo.handle((payload, ctx) => checked(payload, ctx.headers.name)),
    Once.handle((payload, ctx) => checked(payload, ctx.headers.name)),
    Refuse.handle((payload, ctx) => {
      const wrong = different(payload, ctx.headers.name);
      return fail("NO", wrong ?? "as it was sent", { details: payload });
    }),
    Seen.on(async (payload, ctx) => {
      const wrong = different(payload, ctx.headers.name);
      unwrap(await ctx.publish(Back, wrong ?? payload, { headers: { name: ctx.headers.name } }));
    }),
    Read.handle(async (key, ctx) => checked(await ctx.cache.get(key), ctx.headers.name)),
  ];
}

/** Sends them, and collects what comes back as an event. */
export class PayloadWays {
  readonly #back = new Map<string, unknown>();
  /** The handlers of the node that sends. */
  readonly handlers: readonly Handler[] = [Back.on((payload, ctx) => void this.#back.set(ctx.headers.name, payload))];

  /** Resolves with what differed, as `way, payload: where`. */
  async differences(app: Catga): Promise<string[]> {
    const found: string[] = [];
    const compare = (way: string, name: string, value: unknown) => {
      const wrong = different(value, name);
      if (wrong !== undefined) found.push(`${way}, ${name}: ${wrong}`);
    };
    await Promise.all(PAYLOADS.map(async ([name, make]) => {
      const headers = { name };
      compare("payload", name, valueOf(await app.send(Echo, make(), { headers })));
      const id = `${app.self.id} ${name}`;
      compare("result", name, valueOf(await app.send(Once, make(), { headers, id })));
      compare("recorded result", name, valueOf(await app.send(Once, make(), { headers, id })));
      const { error } = await app.send(Refuse, make(), { headers });
      compare("details", name, error?.message === "as it was sent" ? error.details : error?.message);
      await patiently(() => app.cache.set(name, make()));
      compare("own cache", name, await patiently(() => app.cache.get(name)));
      compare("cache", name, valueOf(await app.send(Read, name, { headers })));
      for (const { result } of await app.broadcast(Echo, make(), { headers })) {
        compare("broadcast", name, valueOf(result));
      }
      unwrap(await app.publish(Seen, make(), { headers }));
    }));
    await eventually("the events to come back", () => this.#back.size === PAYLOADS.length);
    for (const [name, payload] of this.#back) compare("event", name, payload);
    return found;
  }
}

/** The value, or what else came. */
function valueOf(result: Result<unknown>): unknown {
  return result.ok ? result.value : `${result.error.code}: ${result.error.message}`;
}

function checked(payload: unknown, name: string) {
  const wrong = different(payload, name);
  return wrong === undefined ? payload : fail("DIFFERENT", wrong);
}

function different(value: unknown, name: string): string | undefined {
  const [, make] = PAYLOADS.find(([each]) => each === name)!;
  return difference(value, make());
}
