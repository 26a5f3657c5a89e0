/**
 * The meaning of a call of an app or a context for the history: whether it is an operation, and of which contract, key
 * and options; and the header by which the attempts of a handler know the operation that sent their message.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { isRecord } from "../data/checks.ts";
import type { HistoryKind, HistoryOperation } from "./history.ts";

/** Header with which a message carries the number of the operation that sent it, to the attempts of its handler. */
const OPERATION_HEADER = "explore-operation";

/**
 * Returns the contract, or the name, that a call of a method is about; `undefined`: the call is not recorded in the
 * history.
 */
export function callTarget(
  method: string,
  [first, second, third]: unknown[],
): Pick<HistoryOperation, "kind" | "contract" | "key" | "id" | "input"> | undefined {
  if (method.startsWith("cache.")) {
    return { kind: "cache", contract: String(first), key: String(first), id: undefined, input: second };
  }
  if (method === "lock") {
    const contract = String(first);
    return { kind: "lock", contract, key: contract, id: undefined, input: second };
  }
  if (method === "lead") {
    return { kind: "lock", contract: String(first), key: undefined, id: undefined, input: undefined };
  }
  if (method === "complete" && typeof first === "string") {
    const { workflow, run, name } = callbackOf(first) ?? {};
    const contract = name === undefined ? "callback" : `${workflow}.${name}`;
    return { kind: "signal", contract, key: run, id: first, input: second };
  }
  if (!OPERATIONS.has(method) || typeof first !== "object" || first === null) return undefined;
  const { kind, name } = first as { kind?: HistoryKind; name?: string };
  if (typeof name !== "string") return undefined;
  if (method === "load") {
    return { kind: "entity", contract: name, key: String(second), id: undefined, input: undefined };
  }
  if (method === "tell" || method === "ask") {
    const { workflow } = first as { workflow?: string };
    return { kind: "signal", contract: `${workflow}.${name}`, key: String(second), id: undefined, input: third };
  }
  if (method === "result" || method === "cancel") {
    return { kind: "workflow", contract: name, key: String(second), id: String(second), input: third };
  }
  const options = third as { id?: string; key?: string } | undefined;
  const id = options?.id;
  if (kind === "workflow") return { kind, contract: name, key: id, id, input: second };
  const key = options?.key ?? payloadKey(first as AnyContract, second);
  return { kind: kind ?? "command", contract: name, key, id, input: second };
}

/** A callback of a run, as its token names it. `life`: number of the run's life that has made it. */
export interface TokenOwner {
  readonly workflow: string;
  readonly run: string;
  readonly life: number;
  readonly name: string;
}

/** Returns the callback that a token names, whether or not the run has made the token; `undefined`: it names none. */
export function callbackOf(token: string): TokenOwner | undefined {
  try {
    const [workflow, run, life, name] = JSON.parse(Buffer.from(token.split(".")[0], "base64url").toString());
    const isCallback = [workflow, run, name].every((part) => typeof part === "string") && typeof life === "number";
    return isCallback ? { workflow, run, life, name } : undefined;
  } catch {
    return undefined; // somebody has invented it
  }
}

/** Methods whose calls are operations, besides those of locks, leadership and caches. */
const OPERATIONS: ReadonlySet<string> = new Set([
  ...["send", "sendAll", "publish", "enqueue", "broadcast", "stream", "start", "result", "tell", "ask", "cancel"],
  ...["unschedule", "load"],
]);

/** Returns the options of a call: its third argument, or for a signal or question the fourth. */
export function callOptions(method: string, args: readonly unknown[]): Readonly<Record<string, unknown>> | undefined {
  const options = args[method === "tell" || method === "ask" ? 3 : method === "lock" ? 1 : 2];
  return isRecord(options) ? { ...options } : undefined;
}

/** Methods that resolve with a `Result`, and whose messages may be refused. */
export const REFUSABLE: ReadonlySet<string> = new Set([
  ...["send", "publish", "enqueue", "start", "tell", "ask", "complete", "cancel"],
]);
/** Methods whose third argument may have headers. */
const WITH_HEADERS: ReadonlySet<string> = new Set(["send", "publish", "enqueue", "broadcast"]);

/** Returns the arguments of a call whose message carries the number of its operation, if the method has headers. */
export function withOperationHeader(method: string, args: unknown[], operation: number): unknown[] {
  if (!WITH_HEADERS.has(method)) return args;
  const [contract, payload, options] = args;
  if (options !== undefined && (typeof options !== "object" || options === null)) return [contract, payload, options];
  const { headers } = (options ?? {}) as { headers?: Record<string, string> };
  return [contract, payload, { ...options as object, headers: { ...headers, [OPERATION_HEADER]: `${operation}` } }];
}

/** Returns the number of the operation that sent a message; `undefined`: no recorded call sent it. */
export function operationOf(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers[OPERATION_HEADER];
  return text === undefined ? undefined : Number(text);
}

/** Returns the key that a contract makes of a payload; `undefined`: it makes none, or its function throws. */
export function payloadKey({ options }: AnyContract, payload: unknown): string | undefined {
  const key = options?.key;
  if (key === undefined) return undefined;
  try {
    return String(key(payload as never));
  } catch {
    return undefined; // an error of the key function is ignored: Catga reports it to the sender
  }
}
