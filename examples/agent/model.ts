/** A model behind an endpoint that OpenAI's clients can call: its answers are streamed, word by word. */
import { fail, type Failure } from "@catga/catga";
import { TOOLS } from "./tools.ts";

/** A message of a conversation, in OpenAI's form. */
export type Message =
  | { readonly role: "user"; readonly content: string }
  | Answer
  | { readonly role: "tool"; readonly tool_call_id: string; readonly content: string };

/** An answer of the model: the last one, or one that asks for tools. */
export interface Answer {
  readonly role: "assistant";
  readonly content: string;
  readonly tool_calls?: readonly ToolCall[];
}

/** A tool that the model wants to be used. `arguments`: JSON. */
export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/** An answer, and what it has cost in cents. */
export interface Reply {
  readonly message: Answer;
  readonly cents: number;
}

/**
 * Calls the model. `id`: the same in each attempt; a server that knows it takes the money once. `onWords` is called
 * with all words so far. Throws what another attempt may mend; a request that the model refuses is a failure.
 */
export type Model = (
  messages: readonly Message[],
  call: { readonly id: string; readonly signal: AbortSignal; readonly onWords: (words: string) => void },
) => Promise<Reply | Failure<"MODEL_REFUSED">>;

/** Part of an answer. */
interface Chunk {
  readonly choices: readonly {
    readonly delta: {
      readonly content?: string | null;
      readonly tool_calls?: readonly ({ readonly index: number } & Partial<ToolCall>)[];
    };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly total_tokens: number } | null;
}

/** Options of {@link openai}. */
export interface OpenAIOptions {
  /** `https://api.openai.com/v1`, or that of another server with this API. */
  readonly url: string;
  readonly key: string;
  readonly model: string;
  /** The price of 1,000 tokens, in cents. */
  readonly price: number;
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** Returns a model that is called by `fetch`. */
export function openai({ url, key, model, price, fetch = globalThis.fetch }: OpenAIOptions): Model {
  return async (messages, { id, signal, onWords }) => {
    const response = await fetch(
      new Request(`${url}/chat/completions`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Authorization": `Bearer ${key}`, "Idempotency-Key": id },
        body: JSON.stringify({ model, messages, tools: TOOLS, stream: true, stream_options: { include_usage: true } }),
        signal,
      }),
    );
    if (!response.ok) {
      const why = `the model answered ${response.status}: ${await response.text()}`;
      if (response.status >= 500 || response.status === 429 || response.status === 408) throw new Error(why);
      return fail("MODEL_REFUSED", why);
    }

    let [content, tokens, isWhole] = ["", 0, false];
    const calls: { id: string; name: string; arguments: string }[] = [];
    for await (const { choices: [choice], usage } of chunksOf(response)) {
      tokens = usage?.total_tokens ?? tokens;
      isWhole ||= typeof choice?.finish_reason === "string";
      for (const { index, id, function: of } of choice?.delta.tool_calls ?? []) {
        const call = calls[index] ??= { id: "", name: "", arguments: "" };
        call.id += id ?? "";
        call.name += of?.name ?? "";
        call.arguments += of?.arguments ?? "";
      }
      if (choice?.delta.content) onWords(content += choice.delta.content);
    }
    if (!isWhole) throw new Error("the model's answer was cut off");
    const tool_calls = calls.map(({ id, ...of }) => ({ id, type: "function", function: of } as const));
    const message: Answer = { role: "assistant", content, ...(tool_calls.length > 0 ? { tool_calls } : {}) };
    return { message, cents: Math.ceil(tokens / 1_000 * price) };
  };
}

/** The server-sent events of an answer. */
async function* chunksOf({ body }: Response): AsyncIterable<Chunk> {
  let rest = "";
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
      }
    }
  } finally {
    await reader.cancel();
  }
}
