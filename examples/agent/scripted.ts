/**
 * The world outside, for who has no model: a model that follows a script, and a tea shop. They know a request by its
 * `Idempotency-Key`: a repeated one gets the first one's answer, and is on the bill once. What is asked again while the
 * model still speaks gets at once what it has said so far.
 */
import type { Answer, Message } from "./model.ts";

const OFFERS: Readonly<Record<string, string>> = {
  assam: "Leaf & Co: 420 cents; Teahouse: 480 cents",
  mate: "Leaf & Co: 410 cents; Teahouse: 390 cents",
  sencha: "Leaf & Co: 610 cents; Teahouse: 550 cents",
};
const TOKENS_A_WORD = 4;

/** The clock of the world. */
interface WorldClock {
  now(): number;
  sleep(ms: number): Promise<void>;
}

const CLOCK: WorldClock = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** The scripted model and the shop. */
export class World {
  /** By id: what was asked for, and paid for, once. */
  readonly bill = new Map<string, string>();
  readonly #answers = new Map<string, { readonly answer: Answer; readonly began: number }>();
  readonly #pace: number;
  readonly #clock: WorldClock;

  /** `pace`: the time from word to word, in ms. */
  constructor(pace = 60, clock: WorldClock = CLOCK) {
    this.#pace = pace;
    this.#clock = clock;
  }

  /** Answers a request, as `fetch` does. */
  readonly fetch = async (request: Request): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    const id = request.headers.get("idempotency-key") ?? crypto.randomUUID();
    switch (`${request.method} ${pathname}`) {
      case "GET /offers":
        return new Response(OFFERS[searchParams.get("tea") ?? ""] ?? "nobody has it");
      case "POST /pay": {
        const { tea, cents } = await request.json();
        this.bill.set(id, `${tea} ${cents}`);
        return new Response(`receipt ${tea}-${cents}`);
      }
      case "POST /v1/chat/completions": {
        const { messages }: { messages: Message[] } = await request.json();
        const said = this.#answers.get(id) ?? { answer: next(messages), began: this.#clock.now() };
        this.#answers.set(id, said);
        this.bill.set(id, `model ${messages.length}`);
        return new Response(this.#words(said.answer, said.began), { headers: { "Content-Type": "text/event-stream" } });
      }
      default:
        return new Response("there is nothing here", { status: 404 });
    }
  };

  #words({ content, tool_calls }: Answer, began: number): ReadableStream<Uint8Array> {
    const words = content.match(/\S+\s*/g) ?? [];
    let said = 0;
    let isCancelled = false;
    const event = (choice: object, more: object = {}) =>
      new TextEncoder().encode(`data: ${JSON.stringify({ choices: [choice], ...more })}\n\n`);
    return new ReadableStream({
      pull: async (stream) => {
        const wait = began + said * this.#pace - this.#clock.now();
        if (wait > 0) await this.#clock.sleep(wait);
        if (isCancelled) return;
        if (said < words.length) return stream.enqueue(event({ delta: { content: words[said++] } }));
        stream.enqueue(event(
          { delta: { tool_calls: tool_calls?.map((call, index) => ({ index, ...call })) }, finish_reason: "stop" },
          { usage: { total_tokens: words.length * TOKENS_A_WORD } },
        ));
        stream.close();
      },
      cancel() {
        isCancelled = true;
      },
    });
  }
}

/** The script: for each tea look for offers, and pay the cheapest. Depends on nothing but what was said. */
function next(messages: readonly Message[]): Answer {
  const text = messages.map(({ content }) => content).join("\n");
  const paid = new Map(
    [...text.matchAll(/^paid (\d+) cents for (\w+)/gm)].map(([, cents, tea]) => [tea, Number(cents)]),
  );
  const refused = [...text.matchAll(/^not paid: .*?(\w+)$/gm)].map(([, tea]) => tea);
  const tea = Object.keys(OFFERS).find((tea) => !paid.has(tea) && !refused.includes(tea));
  if (tea === undefined || /^not paid: \d+/m.test(text)) {
    const list = [...paid].map(([tea, cents]) => `${tea} for ${euros(cents)}`).join(", ") || "nothing";
    const sum = [...paid.values()].reduce((sum, cents) => sum + cents, 0);
    return say(`The kitchen is stocked. I bought ${list}: ${euros(sum)} in all. The parcels are under way, and you need
      not do anything else. If the tea is gone before the end of the month, ask me again.`);
  }
  const last = messages.at(-1)!;
  if (last.role !== "tool" || !last.content.includes("Teahouse: ")) {
    return say(
      `Next is ${tea}. There are two shops that have it as a rule, and their prices change from day to day, so I look
      at both of them before I decide anything.`,
      { name: "offers", arguments: { tea } },
    );
  }
  const [[cents, shop]] = [...last.content.matchAll(/([^;:]+): (\d+) cents/g)]
    .map(([, shop, cents]) => [Number(cents), shop.trim()] as const).sort(([a], [b]) => a - b);
  return say(
    `The cheapest ${tea} is that of ${shop}, for ${euros(cents)}. It is the one that you had the last time, and fits
    into what is left of the budget, so I buy a packet of it now.`,
    { name: "pay", arguments: { tea, shop, cents } },
  );
}

interface ScriptedCall {
  readonly name: "offers" | "pay";
  readonly arguments: { readonly tea: string; readonly shop?: string; readonly cents?: number };
}

function say(text: string, call?: ScriptedCall): Answer {
  const content = text.replace(/\s+/g, " ");
  if (call === undefined) return { role: "assistant", content };
  const { name, arguments: input } = call;
  const id = `call_${name}_${input.tea}`;
  return {
    ...{ role: "assistant", content },
    tool_calls: [{ id, type: "function", function: { name, arguments: JSON.stringify(input) } }],
  };
}

const euros = (cents: number) => `€${(cents / 100).toFixed(2)}`;
